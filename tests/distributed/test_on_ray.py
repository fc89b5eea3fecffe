"""Ray with two workers of this machine: the rows of a plain run, whoever is killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_runs import assert_same

from blemish.distributed.judge import Judge
from blemish.distributed.part_writer import PartWriter
from blemish.distributed.result_folder import Block, Plan, ResultFolder
from blemish.errors import BlemishError, BundleError
from forked import ForkServer

ray = pytest.importorskip("ray", reason="Ray, of blemish[ray], is absent")
pytest.importorskip("pyarrow", reason="pyarrow, of blemish[ray], is absent")

from blemish.distributed.on_ray import cluster as local_cluster  # noqa: E402
from blemish.distributed.on_ray import on_ray  # noqa: E402


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """One cluster of this machine for all tests; gives its address."""
    before = os.environ.get("RAY_USAGE_STATS_ENABLED")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with local_cluster("local", 2):
        yield ray.get_runtime_context().gcs_address
    if before is None:
        del os.environ["RAY_USAGE_STATS_ENABLED"]


def actors_of_this_test() -> list[int]:
    """Processes of actors, below this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if not (entry / "cmdline").read_bytes().startswith(b"ray::Worker"):
                continue
            parent = int(entry.name)
            while parent not in (0, 1, os.getpid()):
                stat = Path(f"/proc/{parent}/stat").read_text()
                parent = int(stat.rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        if parent == os.getpid():
            found.append(int(entry.name))
    return found


def parts(folder: Path) -> int:
    return len(list(folder.glob("part-*.parquet")))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes by /proc")
def test_killed_actor_and_killed_driver_lose_and_double_nothing(
    forks: ForkServer,
    cluster: str,
    tmp_path: Path,
    pictures: Path,
    judging_file: Path,
    plain_rows: Any,
) -> None:
    words = ["predict", judging_file, pictures, "--out", "results", "--batch-size", "1"]
    words += ["--engine", "ray", "--address", cluster, "--workers", "3"]  # with room for two
    driver = forks.start(*words, cwd=tmp_path)
    results, killed = tmp_path / "results", 0
    try:
        until = time.monotonic() + 120
        while parts(results) < 4:
            assert driver.poll() is None
            assert time.monotonic() < until
            if not killed and parts(results) >= 1:
                [killed, *_] = actors_of_this_test()
                os.kill(killed, signal.SIGKILL)
            time.sleep(0.002)
    finally:
        driver.kill()
        driver.wait()
        driver.stdout.close()
    assert driver.wait() == -signal.SIGKILL
    assert killed
    before = parts(results)
    assert before < 8
    result = forks.run(*words, cwd=tmp_path)
    assert result.returncode == 2, result.stderr  # two pictures cannot be read
    assert "240 images" in result.stdout or "238 images" in result.stdout
    assert parts(results) == 8
    rows = [row for number in range(8) for row in ResultFolder(results).read(number)]
    assert_same(rows, plain_rows)


def test_what_a_worker_refuses_is_said_as_without_ray(cluster: str, tmp_path: Path) -> None:
    writer = PartWriter(Judge(tmp_path / "no.blemish"), ResultFolder(tmp_path))
    with pytest.raises(BundleError, match=r"no\.blemish does not exist") as refused:
        list(on_ray(writer, [Block(0, ["a.png"])], count=1, workers=1))
    assert "Traceback" not in str(refused.value)


class Fatal(PartWriter):
    """Ends its process, as a picture may that breaks a decoder."""

    def write(self, block: Block) -> Any:
        with (self.results.folder / "tries").open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_block_that_ends_its_workers_is_given_up(cluster: str, tmp_path: Path) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers lack this file
    writer = Fatal(Judge("m.blemish"), ResultFolder(tmp_path))
    with pytest.raises(BlemishError, match="ended its worker 4 times"):
        list(on_ray(writer, [Block(0, ["a.png"])], count=1, workers=1))
    assert (tmp_path / "tries").read_text() == "xxxx"


@pytest.mark.slow
def test_a_cluster_of_its_own_ends_with_the_run(
    forks: ForkServer, tmp_path: Path, pictures: Path, judging_file: Path, plain_rows: Any
) -> None:
    words = ("predict", judging_file, pictures, "--out", "results", "--batch-size", 1, "-q")
    result = forks.run(*words, "--engine", "ray", "--address", "local", cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    folder = ResultFolder(tmp_path / "results")
    plan = folder.begin(
        Plan.of(
            sorted(map(str, pictures.iterdir())),
            model=plain_rows[0][0]["model"],
            batch_size=1,
        )
    )
    assert plan == list(range(8))
    assert_same([row for number in plan for row in folder.read(number)], plain_rows)


def test_no_cluster_is_one_sentence(
    forks: ForkServer, tmp_path: Path, pictures: Path, judging_file: Path
) -> None:
    words = ("predict", judging_file, pictures, "--out", "results", "--engine", "ray")
    result = forks.run(*words, "--address", "127.0.0.1:1", cwd=tmp_path)
    assert result.returncode == 2
    assert "no Ray cluster at --address 127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr
