"""``blemish predict --resume``: a run that was killed is completed, each image exactly once."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

SLOWLY = """
import time
import blemish.inspection.pipeline as pipeline
make = pipeline.make_prediction
def slowly(*args, **kwargs):
    time.sleep(0.05)
    return make(*args, **kwargs)
pipeline.make_prediction = slowly
"""


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def line(tmp_path: Path, judging: dict[str, Path]) -> Path:
    folder = tmp_path / "line"
    folder.mkdir()
    for number in range(24):
        shutil.copy(judging["defect" if number == 3 else "ok"], folder / f"{number:02}.png")
    (folder / "05.png").write_text("no image")
    return folder


def test_a_killed_run_is_completed_exactly_once_each(
    blemish: Any, start_blemish: Any, judging: dict[str, Path], line: Path, tmp_path: Path
) -> None:
    words = ["predict", str(judging["model"]), "line", "--csv", "out.csv", "--json", "out.jsonl"]
    out = tmp_path / "out.csv"
    process = start_blemish(*words, before=SLOWLY)
    until = time.monotonic() + 60
    while not out.exists() or len(out.read_bytes().splitlines()) < 8:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    written = out.read_bytes()
    assert written.endswith(b"\n")
    before = csv_rows(out)
    assert 7 <= len(before) < 24
    assert all(row["model"] for row in before)
    for text in (tmp_path / "out.jsonl").read_text().splitlines():
        json.loads(text)
    out.write_bytes(written[:-9])  # as after a power cut

    result = blemish(*words, "--resume")
    assert result.returncode == 2  # the picture that is none
    assert "23 images: 1 defect, 22 ok; " in result.stdout
    assert "1 could not be judged" in " ".join(result.stdout.split())  # it may wrap
    whole = blemish(*words[:3], "--csv", "whole.csv", "--json", "whole.jsonl")
    assert whole.returncode == 2
    for name in ("csv", "jsonl"):
        resumed, fresh = (
            sorted((tmp_path / f"{stem}.{name}").read_text().splitlines())
            for stem in ("out", "whole")
        )
        assert resumed == fresh
    assert len(csv_rows(out)) == 24
    # Nothing was judged twice: what stood there stands there, in front.
    assert out.read_bytes().startswith(b"".join(written.splitlines(keepends=True)[:4]))


def test_nothing_is_left_to_do_and_the_exit_code_is_that_of_the_whole(
    blemish: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copy(judging["defect"], tmp_path / "a.png")
    words = ("predict", judging["model"], "a.png", "--json", "o.jsonl", "--resume")
    assert blemish(*words).returncode == 1
    before = (tmp_path / "o.jsonl").read_text()
    again = blemish(
        *words, before="import blemish.inspection.pipeline as p; p.make_prediction = None"
    )
    assert (again.returncode, (tmp_path / "o.jsonl").read_text()) == (1, before)
    shutil.copy(judging["ok"], tmp_path / "b.png")
    more = blemish("predict", judging["model"], "./a.png", tmp_path / "b.png", *words[3:])
    assert more.returncode == 1
    assert [json.loads(row)["path"] for row in (tmp_path / "o.jsonl").read_text().splitlines()] == [
        "a.png", str(tmp_path / "b.png"),
    ]  # fmt: skip


def test_pictures_are_there_for_every_line(
    blemish: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    for number in range(3):
        shutil.copy(judging["ok"], tmp_path / f"{number}.png")
    words = ("predict", judging["model"], "0.png", "1.png", "2.png", "--csv", "o.csv")
    # Killed between picture and line, and between line and picture if that is the order.
    stop = """
import os, signal
from blemish.outputs.lines import LineSink
from blemish.outputs.pictures import OverlaySink
written = []
def counted(write):
    def wrapped(self, *args):
        written.append(1)
        if len(written) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(self, *args)
    return wrapped
LineSink.write = counted(LineSink.write)
OverlaySink.write = counted(OverlaySink.write)
"""
    killed = blemish(*words, "--heatmaps", "maps", before=stop)
    assert killed.returncode == -signal.SIGKILL
    assert len(csv_rows(tmp_path / "o.csv")) == 1
    assert blemish(*words, "--heatmaps", "maps", "--resume").returncode == 0
    assert len(csv_rows(tmp_path / "o.csv")) == 3
    assert sorted(p.name for p in (tmp_path / "maps").iterdir()) == ["0.png", "1.png", "2.png"]


def test_another_models_file_is_refused(
    blemish: Any, refused: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copy(judging["model"], tmp_path / "other.blemish")
    assert blemish(
        "calibrate", "other.blemish", "--false-alarm-rate", "0.2"
    ).returncode == 0  # fmt: skip
    ask = ("predict", judging["model"], judging["ok"])
    assert blemish(*ask, "--csv", "o.csv", "--json", "o.jsonl").returncode == 0
    for kind in ("csv", "json"):
        name = "o.csv" if kind == "csv" else "o.jsonl"
        before = (tmp_path / name).read_bytes()
        said = refused(
            blemish("predict", "other.blemish", judging["ok"], f"--{kind}", name, "--resume")
        )
        assert "another model or other limits" in said
        assert "leave out --resume" in said
        assert (tmp_path / name).read_bytes() == before


def test_files_of_something_else_are_not_touched(
    blemish: Any, refused: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    ask = ("predict", judging["model"], judging["ok"], "--resume")
    assert "--csv or --json" in refused(blemish(*ask))
    for text in ("my notes, which have no line break", "a,b\n1,2\n", '{"x": 1}\n'):
        (tmp_path / "notes").write_text(text)
        for kind in ("--csv", "--json"):
            said = refused(blemish(*ask, kind, "notes"))
            assert "Cannot go on with notes" in said
            assert (tmp_path / "notes").read_text() == text
