"""Is Ray with two workers as fast as two plain processes, and does it write the same rows?

    blemish export MODEL -o EXPORTED
    python benchmarks/check_ray.py EXPORTED PICTURES benchmarks/results/ray.json

Judges 5,000 pictures, links to those given, once by two processes of ``blemish predict --csv``
of one thread each, a half each, and once by ``--engine ray`` on a cluster of this machine with two
workers. Start-up is measured by a run of 16 pictures and taken off both. Every number of every row
is compared as text, to the last bit. Then the run on Ray once more, in which one worker and later
the driver are ended by SIGKILL: the same command then has to complete it, with the same rows.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import ray

from blemish.benchmark.result_file import write_result
from blemish.data.images.image_list import list_images
from blemish.distributed.result_folder import BATCHES_A_BLOCK, ResultFolder
from blemish.model_file.bundle import model_manifest

WORKERS, FEW, BATCH = 2, 16, 8
LEAST = 0.85
#: CSV's columns that are compared with those of Parquet of the same name.
SAME = ("path", "product", "verdict", "score", "p_value", "times_limit", "error", "model")


def start(*words: object) -> subprocess.Popen[bytes]:
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "blemish.cli.app", "predict", *map(str, words), "-q"], env=variables
    )


def seconds(processes: Iterable[subprocess.Popen[bytes]]) -> float:
    """Until the last of them has ended."""
    started = time.monotonic()
    for process in list(processes):
        if process.wait() not in (0, 1):
            raise SystemExit("A run failed.")
    return time.monotonic() - started


def workers_of_ray() -> list[int]:
    """Processes of Ray's actors, below this one."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if not (entry / "cmdline").read_bytes().startswith(b"ray::Worker"):
                continue
            parent = int(entry.name)
            while parent not in (0, 1, os.getpid()):
                stat = Path(f"/proc/{parent}/stat").read_text()
                parent = int(stat.rpartition(")")[2].split()[1])
        except (OSError, ValueError):  # it has ended, or is no process
            continue
        if parent == os.getpid():
            found.append(int(entry.name))
    return found


def blocks(folder: Path) -> int:
    return len(list(folder.glob("part-*.parquet")))


def killed(words: tuple[object, ...], folder: Path, count: int) -> dict[str, int]:
    """Blocks that were written when a worker was killed, and when the driver was."""
    found: dict[str, int] = {}
    driver = start(*words)
    for what, share in (("worker", 0.2), ("driver", 0.5)):
        while blocks(folder) < share * count:
            if driver.poll() is not None:
                raise SystemExit("The run ended before it could be killed.")
            time.sleep(0.01)
        os.kill(workers_of_ray()[0] if what == "worker" else driver.pid, signal.SIGKILL)
        found[f"blocks_when_the_{what}_was_killed"] = blocks(folder)
    driver.wait()
    return found


def linked(source: list[Path], folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        picture = source[number % len(source)]
        (folder / f"{number:05}{picture.suffix}").symlink_to(picture.resolve())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--images", type=int, default=5000)
    given = parser.parse_args()
    block = BATCH * BATCHES_A_BLOCK
    # A half is whole blocks, so that its batches are those of the whole.
    first = round(given.images / 2 / block) * block
    source = list_images(given.pictures)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        linked(source, folder / "few", FEW)
        linked(source, folder / "all" / "0", first)
        linked(source, folder / "all" / "1", given.images - first)
        model = (given.model, "--batch-size", BATCH)
        tables = [folder / f"{half}.csv" for half in range(2)]
        plain = {
            "start": seconds([start(*model, folder / "few", "--csv", t) for t in tables]),
            "all": seconds(
                [start(*model, folder / "all" / str(n), "--csv", t) for n, t in enumerate(tables)]
            ),
        }
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        ray.init(
            address="local",
            num_cpus=WORKERS,
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            log_to_driver=False,
        )
        engine = ("--engine", "ray", "--address", ray.get_runtime_context().gcs_address)
        on_ray = {
            name: seconds([start(*model, folder / what, "--out", folder / f"{what}-out", *engine)])
            for name, what in (("start", "few"), ("all", "all"))
        }
        words = (*model, folder / "all", "--out", folder / "killed-out", *engine)
        deaths = killed(words, folder / "killed-out", -(-given.images // block))
        on_ray["the rest after both kills"] = seconds([start(*words)])
        ray.shutdown()
        cells = [row for t in tables for row in csv.DictReader(t.open(newline=""))]
        rows, again = (
            [
                row
                for n in range(blocks(folder / name))
                for row in ResultFolder(folder / name).read(n)
            ]
            for name in ("all-out", "killed-out")
        )
    different = [
        c["path"]
        for c, row in zip(cells, rows, strict=True)
        if any(c[name] != ("" if row[name] is None else str(row[name])) for name in SAME)
        or int(c["n_regions"] or 0) != len(row["regions"] or ())
    ]
    same = repr(again) == repr(rows)  # a number that is none is not equal to itself
    once = len({row["path"] for row in again}) == len(again) == given.images
    two = (given.images - 2 * FEW) / (plain["all"] - plain["start"])
    shared = (given.images - FEW) / (on_ray["all"] - on_ray["start"])
    content = {
        "model": model_manifest(given.model).method,
        "images": given.images,
        "rows_that_differ": len(different),
        "killed": {**deaths, "every_picture_once": once, "rows_are_the_same": same},
        "pictures_per_second": {"two_processes": round(two, 1), "ray": round(shared, 1)},
        "share": round(shared / two, 3),
        "seconds": {"two_processes": plain, "ray": on_ray},
    }
    write_result(given.result, content)
    print(content)
    if different or not same or not once or shared < LEAST * two:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
