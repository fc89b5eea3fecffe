"""``predict --part-id`` and ``--fdr``: parts in table, file, exit code and ``--send``."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Result = subprocess.CompletedProcess[str]


@pytest.fixture
def views(tmp_path: Path, judging: dict[str, Path]) -> Path:
    """Part 1 with two good views, part 2 with a good one and a defect."""
    folder = tmp_path / "views"
    folder.mkdir()
    for name, kind in (("1_a", "ok"), ("1_b", "ok"), ("2_a", "ok"), ("2_b", "defect")):
        shutil.copy(judging[kind], folder / f"part{name}.png")
    return folder


def told(out: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(out.rglob("*.json"))]


def test_parts_decide_and_are_sent_once_they_are_complete(
    tmp_path: Path, judging: dict[str, Path], blemish: Callable[..., Result], views: Path
) -> None:
    words: list[object] = ["predict", judging["model"], views, "--part-id", "part([0-9])"]
    words += ["--csv", "rows.csv", "--parts", "parts.csv", "--resume"]
    ended = blemish(*words, "--send", f"folder:{tmp_path / 'out'}")
    assert ended.returncode == 1, ended.stderr
    assert "2 parts: 1 unsure, 1 ok" in ended.stdout
    lines = (tmp_path / "parts.csv").read_text().splitlines()
    assert [(line.split(",")[0], line.rpartition(",")[2]) for line in lines[1:]] == [
        ("1", "ok"),
        ("2", "unsure"),  # of eight good pictures: a view is a defect, the part is not proved one
    ]
    seen = [(m["part"], m["views"]) for m in told(tmp_path / "out")]
    assert seen == [("1", None), ("1", None), ("1", 2), ("2", None), ("2", None), ("2", 2)]

    # What is done stays done: nothing is judged or sent again, and the parts are the same.
    again = blemish(*words, "--send", f"folder:{tmp_path / 'again'}")
    assert again.returncode == 1, again.stderr
    assert (tmp_path / "parts.csv").read_text().splitlines() == lines
    assert told(tmp_path / "again") == []

    # The same rows as a lot, at a rate that one part alone can meet.
    lot = blemish(*words[:3], "--csv", "rows.csv", "--resume", "--fdr", "0.6")
    assert lot.returncode == 1, lot.stderr
    assert "pictures called defective at a false discovery rate of 0.6" in lot.stdout
    strict = blemish(*words[:3], "--csv", "rows.csv", "--resume", "--fdr", "0.01")
    assert strict.returncode == 0, strict.stderr
    assert "0 of 4 pictures called" in strict.stdout


def test_a_watched_part_is_sent_when_its_last_view_is_there(
    tmp_path: Path, judging: dict[str, Path], start_blemish: Any, views: Path
) -> None:
    last = tmp_path / "part2_b.png"
    (views / "part2_b.png").rename(last)
    run = start_blemish(
        *("predict", judging["model"], "--watch", views, "--part-id", "part([0-9])"),
        *("--views", "2", "--send", "folder:out#of=part"),
    )

    def until(count: int) -> list[dict[str, Any]]:
        end = time.monotonic() + 60
        while len(found := told(tmp_path / "out")) < count:
            assert run.poll() is None, run.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)
        return found

    assert [m["part"] for m in until(1)] == ["1"]
    last.rename(views / "part2_b.png")
    assert [(m["part"], m["verdict"]) for m in until(2)] == [("1", "ok"), ("2", "unsure")]
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "2 parts: 1 unsure, 1 ok" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--part-id", "("), "no regular expression"),
        (("--part-id", "q"), "finds no part"),
        (("--fdr", "0"), "is no rate"),
        (("--parts", "parts.csv"), "--part-id REGEX"),
        (("--part-id", "k", "--views", "2"), "are counted"),
        (("--watch", "--part-id", "k"), "--views 3"),
        (("--watch", "--fdr", "0.1"), "has an end"),
    ],
)
def test_what_is_no_lot_is_refused_before_anything_is_judged(
    judging: dict[str, Path],
    blemish: Callable[..., Result],
    refused: Callable[[Result], str],
    options: tuple[str, ...],
    said: str,
) -> None:
    watched = judging["ok"].parent if "--watch" in options else judging["ok"]
    assert said in refused(blemish("predict", judging["model"], watched, *options))
