"""``blemish predict --watch``: real processes, real files that arrive slowly."""

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


class Watching:
    """``blemish predict MODEL --watch line`` under way."""

    def __init__(self, process: subprocess.Popen[str], out: Path) -> None:
        self.process = process
        self.out = out

    def rows(self) -> list[dict[str, Any]]:
        if not self.out.exists():
            return []
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def names(self) -> list[str]:
        return [Path(row["path"]).name for row in self.rows()]

    def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end, self.names()
            time.sleep(0.02)

    def end(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        assert "Traceback" not in err, err
        return self.process.returncode, out, err


@pytest.fixture
def watching(start_blemish: Any, tmp_path: Path) -> Callable[..., Watching]:
    def start(*words: object) -> Watching:
        out = tmp_path / "out.jsonl"
        return Watching(start_blemish("predict", *words, "--json", out), out)

    return start


def test_pictures_are_judged_when_they_are_complete(
    watching: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    line = tmp_path / "line"
    line.mkdir()
    shutil.copy(judging["ok"], line / "there-before.png")
    run = watching(
        judging["model"], "--watch", "line", "--settle", "0.2", "--give-up", "2",
        "--heatmaps", "maps",
    )  # fmt: skip
    run.until(lambda: run.names() == ["there-before.png"])

    # Half of it, a pause longer than --settle, the rest.
    content = judging["defect"].read_bytes()
    with (line / "slow.png").open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        time.sleep(0.8)
        assert "slow.png" not in run.names()
        file.write(content[len(content) // 2 :])
    run.until(lambda: "slow.png" in run.names())
    assert [row["verdict"] for row in run.rows()] == ["ok", "defect"]

    # Renamed into place, into a folder that is new; hidden and temporary names are nobody's.
    (line / "batch2").mkdir()
    shutil.copy(judging["ok"], line / "copy.png.part")
    shutil.copy(judging["ok"], line / ".hidden.png")
    (line / "copy.png.part").rename(line / "batch2" / "renamed.png")
    run.until(lambda: "renamed.png" in run.names())

    # Never completed: given up with a message, the others are judged meanwhile.
    (line / "never.png").write_bytes(content[:300])
    (line / "empty.png").touch()
    shutil.copy(judging["ok"], line / "after.png")
    run.until(lambda: "after.png" in run.names())
    assert "never.png" not in run.names()
    run.until(lambda: {"never.png", "empty.png"} <= set(run.names()))

    code, out, err = run.end()
    assert code == 2
    rows = {Path(row["path"]).name: row for row in run.rows()}
    assert len(run.rows()) == len(rows) == 6
    assert "cut short" in rows["never.png"]["error"]
    assert "empty" in rows["empty.png"]["error"]
    assert "4 images: 1 defect, 3 ok; 2 could not be judged" in out
    assert "Given up: Cannot read" in err
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 4


def test_it_goes_on_where_it_was_ended(
    watching: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    line = tmp_path / "line"
    line.mkdir()
    for number in range(3):
        shutil.copy(judging["ok"], line / f"{number}.png")
    words = (judging["model"], "line", "--watch", "--settle", "0", "--resume")
    first = watching(*words)
    first.until(lambda: len(first.rows()) == 3)
    code, out, _ = first.end(signal.SIGTERM)  # as a service is ended
    assert (code, "3 images: 3 ok" in out) == (0, True)
    shutil.copy(judging["ok"], line / "3.png")
    second = watching(*words)
    second.until(lambda: len(second.rows()) == 4)
    time.sleep(0.3)
    code, out, _ = second.end()
    assert (code, "4 images: 4 ok" in out) == (0, True)
    assert sorted(second.names()) == ["0.png", "1.png", "2.png", "3.png"]


def test_what_is_no_folder_is_refused(
    blemish: Any, refused: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    ask = ("predict", judging["model"], "--watch")
    assert "is a file" in refused(blemish(*ask, judging["ok"], "--csv", "o.csv"))
    assert "create it first" in refused(blemish(*ask, "line", "--csv", "o.csv"))
    assert not (tmp_path / "o.csv").exists()
