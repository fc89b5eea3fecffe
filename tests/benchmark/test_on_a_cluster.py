"""Benchmark runs on Ray: the lines of a plain benchmark, several under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blemish.benchmark import on_ray as module
from blemish.benchmark.plan import BenchmarkOptions
from blemish.benchmark.rows import read_lines
from blemish.benchmark.runner import Job, run_benchmark
from blemish.distributed.on_ray import cluster as local_cluster
from blemish.errors import BlemishError

ray = pytest.importorskip("ray", reason="Ray, of blemish[ray], is absent")

Make = Callable[..., BenchmarkOptions]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with local_cluster("local", 2):
        yield


def figures(folder: Path) -> list[dict[str, Any]]:
    """The lines without what differs between two equal measurements, in the order of the seeds."""
    lines = sorted(read_lines(folder), key=lambda line: line["seed"])
    for line in lines:
        for name in ("seconds", "wall_seconds", "peak_memory_mib", "environment", "command"):
            del line[name]
        for name in ("shared_features", "cached_features"):
            del line["model"][name]
    return lines


@pytest.mark.slow
def test_runs_on_a_cluster_leave_the_files_of_a_plain_benchmark(
    cluster: None, line: Path, options: Make, tmp_path: Path
) -> None:
    asked = options(line, seeds=(0, 1))
    run_benchmark(asked, tmp_path / "plain")
    said: list[str] = []
    measure = module.on_ray(workers=2)
    outcome = run_benchmark(asked, tmp_path / "ray", measure=measure, say=said.append)
    assert (outcome.runs, outcome.measured, outcome.failed) == (2, 2, ())
    assert len(said) == 2
    assert figures(tmp_path / "ray") == figures(tmp_path / "plain")
    assert sorted(p.name for p in (tmp_path / "ray").iterdir()) == ["logs", "rows.jsonl"]
    # What is there already is not measured again, and needs no cluster.
    assert run_benchmark(asked, tmp_path / "ray", measure=measure).measured == 0


def test_a_machine_with_other_sources_is_refused(
    tmp_path: Path, line: Path, options: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "code_changed", lambda run: True)
    from blemish.benchmark.plan import plan_runs

    [run] = plan_runs(options(line))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BlemishError, match="other sources of blemish"):
        module.measured_from(Job(run, {}, tmp_path / "work"), tmp_path)
    assert not (tmp_path / "work").exists()
