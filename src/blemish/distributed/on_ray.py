"""Ray: blocks shared out to actors, each of which opens the model once.

Ray itself starts a worker again that was killed and gives it its block again; because a block's
file follows from the block, that doubles nothing. Blocks are handed out as workers become free, so
that a slow machine gets fewer of them.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from blemish.distributed.columns import Row
from blemish.distributed.part_writer import PartWriter
from blemish.distributed.result_folder import Block
from blemish.errors import BlemishError, ConfigError, MissingExtraError, first_line
from blemish.runtime.cores import usable_cores

#: How often a block is tried that ends its worker: a picture may be what ends it.
MOST_TRIES = 4
#: Blocks that a worker holds, one of them under way, so that it never waits for the next.
AHEAD = 2
#: Bytes of shared memory of a cluster of this machine alone: nothing but names and rows travels.
_STORE = 100 * 2**20
#: Seconds in which the head of a cluster must answer.
_PATIENCE = 10.0


class Worker:
    """What an actor holds; ``folder`` is where relative names start from."""

    def __init__(self, writer: PartWriter, folder: Path) -> None:
        self.writer = writer
        if folder.is_dir():
            os.chdir(folder)

    def write(self, block: Block | None) -> list[Row] | None:
        """As the writer's; of no block nothing, once the worker has started."""
        return None if block is None else self.writer.write(block)


@contextmanager
def cluster(address: str, workers: int | None = None) -> Iterator[Any]:
    """The package ``ray``, connected; one that this process is connected to already is used.

    Args:
        address: ``auto`` for the cluster of this machine or of ``RAY_ADDRESS``, ``HOST:PORT``, or
            ``local`` to start one here that ends with the run.
        workers: Processors of a local one; ``None``: all of this process.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: There is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError("--engine ray", "ray") from error
    if ray.is_initialized():
        yield ray
        return
    here: dict[str, Any] = {}
    if address == "local":
        here = {"num_cpus": workers or usable_cores(), "object_store_memory": _STORE}
        here["include_dashboard"] = False
    try:
        _reach(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **here)
    except (OSError, ValueError, RuntimeError) as error:  # ConnectionError is an OSError
        raise ConfigError(
            f"There is no Ray cluster at --address {address} ({first_line(error)}). Start one with "
            "`ray start --head`, name another address, or take --address local for this machine "
            "alone."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raise an :class:`OSError` where nothing listens; Ray would try for some minutes."""
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()


def on_ray(
    writer: PartWriter,
    blocks: Iterable[Block],
    *,
    count: int,
    address: str = "auto",
    workers: int | None = None,
) -> Iterator[list[Row]]:
    """Judge blocks on a Ray cluster; gives the rows of each as it is done, in no order.

    Args:
        writer: What each worker does; travels to it without the model.
        blocks: Taken as workers become free.
        count: Number of the blocks.
        address: See :func:`cluster`.
        workers: Number of actors, of one processor each; ``None``: one per processor of the
            cluster.

    Raises:
        BlemishError: What a worker raised; or a block ended its worker ``MOST_TRIES`` times.
    """
    with cluster(address, workers) as ray:
        found = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        how = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": MOST_TRIES - 1}
        actor = ray.remote(Worker).options(**how)
        actors = [actor.remote(writer, Path.cwd()) for _ in range(min(found, count))]
        # A worker gets blocks once it has started: the cluster may have no room for all of them.
        waiting = {worker.write.remote(None): worker for worker in actors}
        left, under_way = iter(blocks), 0
        while True:
            [done], _ = ray.wait(list(waiting))
            worker = waiting.pop(done)
            try:
                rows: list[Row] | None = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None  # as it is raised without Ray
            except ray.exceptions.RayActorError as error:
                raise BlemishError(
                    f"A block of pictures ended its worker {MOST_TRIES} times "
                    f"({first_line(error)}). The blocks that are done are written; give the same "
                    "command again to go on, with more memory or fewer --workers."
                ) from error
            for block in islice(left, AHEAD if rows is None else 1):
                waiting[worker.write.remote(block)] = worker
                under_way += 1
            if rows is not None:
                under_way -= 1
                yield rows
            if not under_way:
                return
