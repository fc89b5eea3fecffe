"""A server of S3 on the loopback: learned from it, judged from it, written to it.

``blemish`` runs as users run it, in processes of its own, and knows the server and the credentials
from the environment alone.
"""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blemish.distributed.result_folder import ResultFolder
from forked import ForkServer

s3fs = pytest.importorskip("s3fs", reason="s3fs, of blemish[s3], is absent")
moto_server = pytest.importorskip("moto.server", reason="moto and flask, the server, are absent")
pytest.importorskip("pyarrow", reason="pyarrow, of blemish[ray], is absent")

SECRET = "geheim-geheim-geheim"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    """A running server; gives the environment by which it is reached."""
    running = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    running.stop()


@pytest.fixture
def bucket(
    server: dict[str, str], part: Path, exported_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """``s3://line`` with the data set ``part/`` and the model ``models/part.blemish``."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    system.mkdir("line")
    system.put(str(part), "line/part", recursive=True)
    system.put(str(exported_file), "line/models/part.blemish")
    system.pipe_file("line/part/test/good/torn.png", b"\x89PNG\r\n\x1a\n torn")
    yield system
    system.rm("line", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def run(forks: ForkServer, server: dict[str, str], tmp_path: Path) -> Run:
    """``run("predict", …)`` in ``tmp_path``; the secret must stand nowhere in what it says."""

    def call(*words: object, **changes: str) -> subprocess.CompletedProcess[str]:
        known = {**server, "BLEMISH_CACHE": str(tmp_path / "cache"), **changes}
        result = forks.run(*words, cwd=tmp_path, **known)
        assert SECRET not in result.stdout + result.stderr
        return result

    return call


def test_judged_from_it_and_written_to_it(bucket: Any, run: Run, tmp_path: Path) -> None:
    model, source = "s3://line/models/part.blemish", "s3://line/part/test"
    results = run("predict", model, source, "--out", "s3://line/results", "--maps")
    assert results.returncode == 2, results.stderr  # one is torn
    assert "1 could not be judged" in results.stdout
    assert "s3://line/part/test/good/torn.png" in results.stderr
    rows = ResultFolder("s3://line/results").read(0)
    lines = run("predict", model, source, "--csv", "v.csv", "--json", "v.jsonl", "-q")
    assert lines.returncode == 2, lines.stderr
    with (tmp_path / "v.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [c["path"] for c in cells]
    assert all(row["path"].startswith("s3://line/part/test/") for row in rows)
    assert [str(row["score"] or "") for row in rows] == [c["score"] for c in cells]
    assert [bool(row["error"]) for row in rows].count(True) == 1
    maps = [row["map"] for row in rows if row["map"]]
    assert len(maps) == len(rows) - 1
    assert all(bucket.exists(f"line/results/{name}") for name in maps)
    # The same command goes on, and here nothing is left.
    written = bucket.info("line/results/part-000000.parquet")["LastModified"]
    again = run("predict", model, source, "--out", "s3://line/results", "--maps")
    assert (again.returncode, again.stdout) == (2, results.stdout)
    bucket.invalidate_cache()
    assert bucket.info("line/results/part-000000.parquet")["LastModified"] == written


def test_learned_from_it_and_saved_in_it(bucket: Any, run: Run, tmp_path: Path) -> None:
    short = ("--size", 64, "--set", "steps=4", "--set", "batch_size=4", "--device", "cpu")
    bucket.rm("line/part/test/good/torn.png")
    words = ("fit", "s3://line/part", "--method", "rd", "--false-alarm-rate", 0.3, *short)
    fitted = run(*words, "--out", "s3://line/models/new.blemish")
    assert fitted.returncode == 0, fitted.stderr
    assert "Wrote s3://line/models/new.blemish: 1 product(s)" in fitted.stdout
    assert not list(tmp_path.glob("*.training"))
    info = run("info", "s3://line/models/new.blemish")
    assert "part" in info.stdout, info.stderr  # the product is called by its folder
    good = run("calibrate", "s3://line/models/new.blemish", "s3://line/part/test/good")
    assert good.returncode == 0, good.stderr


def test_what_the_store_refuses_is_one_sentence(bucket: Any, run: Run) -> None:
    def refused(*words: object, **changes: str) -> str:
        result = run("predict", *words, **changes)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr, result.stderr
        return result.stderr

    model, source = "s3://line/models/part.blemish", "s3://line/part/test"
    assert "does not exist" in refused("s3://line/models/no.blemish", source)
    assert "nothing at s3://line/nowhere" in refused(model, "s3://line/nowhere")
    assert "no bucket elsewhere" in refused(model, source, "--out", "s3://elsewhere/results")
    assert "takes whole files" in refused(model, source, "--csv", "s3://line/v.csv")
    assert "--out URL --maps" in refused(model, source, "--heatmaps", "s3://line/h")
    assert "cannot look into" in refused(model, source, "--watch")
    nobody = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    assert "cannot be reached" in refused(model, source, **nobody)
