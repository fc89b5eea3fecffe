"""Benchmark runs on Ray: several under way, each in a process of its own on some machine.

Lines come back through Ray and are written here, by the one process that writes the results. The
data must lie under the same path on every machine, and blemish must be the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from blemish.benchmark.plan import RunSpec, code_changed
from blemish.benchmark.runner import Job, Measure, in_own_process
from blemish.distributed.on_ray import cluster
from blemish.errors import BlemishError


def on_ray(address: str = "auto", workers: int | None = None) -> Measure:
    """What measures runs on a cluster.

    Args:
        address: See :func:`blemish.distributed.on_ray.cluster`.
        workers: Runs under way at a time, of one processor each; ``None``: one per processor.
    """

    def measure(jobs: Iterator[Job]) -> Iterator[tuple[RunSpec, dict[str, Any]]]:
        with cluster(address, workers) as ray:
            most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            task = ray.remote(num_cpus=1)(measured_from)
            waiting: dict[Any, RunSpec] = {}

            def finished() -> tuple[RunSpec, dict[str, Any]]:
                [done], _ = ray.wait(list(waiting))
                try:
                    return waiting.pop(done), ray.get(done)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None  # as it is raised without Ray

            for job in jobs:
                if len(waiting) == most:
                    yield finished()
                waiting[task.remote(job, Path.cwd())] = job.run
            while waiting:
                yield finished()

    return measure


def measured_from(job: Job, folder: Path) -> dict[str, Any]:
    """Measure a run; ``folder`` is where relative names start from.

    Raises:
        BlemishError: The sources of blemish on this machine are others.
    """
    if folder.is_dir():
        os.chdir(folder)
    if code_changed(job.run):
        raise BlemishError(
            "A machine of the cluster has other sources of blemish than the one that plans the "
            "runs. Install the same version on all of them."
        )
    return in_own_process(*job)
