from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from blemish._progress import Progress, Task, print_failures


def test_plain_lines_in_a_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("blemish._progress.time.monotonic", lambda: now[0])
    with Progress().task("Training", 5) as task:
        for _ in range(5):
            now[0] += 6
            task.advance(note="loss 0.5")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "Training: 2/5 (12 s) loss 0.5",
        "Training: 4/5 (24 s) loss 0.5",
        "Training: 5/5 (30 s) loss 0.5",
    ]


def test_a_resumed_task_counts_what_was_done_before(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress().task("Training", 10, done=8) as task:
        task.advance()
        assert task.done == 9
        task.advance()
    assert capsys.readouterr().err == "Training: 10/10 (0 s)\n"


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(quiet=True).task("Training", 2, done=1) as task:
        task.advance()
    assert task.done == 2
    assert list(Progress(quiet=True).track("ab", "Reading", 2)) == ["a", "b"]
    assert capsys.readouterr() == ("", "")


def test_an_unknown_total_is_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("blemish._progress.time.monotonic", lambda: now[0])
    task = Task("Reading", None, interval=1)
    now[0] = 2
    task.advance(7)
    assert capsys.readouterr().err == "Reading: 7 (2 s)\n"


def test_items_are_passed_on_one_by_one() -> None:
    given: list[int] = []

    def source() -> object:
        for number in range(3):
            given.append(number)
            yield number

    tracked = Progress(quiet=True).track(source(), "Reading")  # type: ignore[arg-type]
    assert next(tracked) == 0
    assert given == [0]
    assert list(tracked) == [1, 2]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress().task("Training", 4, done=2) as task:
        task.advance(note="loss 0.5")
        task.advance()
    shown = terminal.getvalue()
    assert "Training" in shown
    assert "4/4" in shown
    assert "loss 0.5" in shown
    assert task.done == 4


def test_an_error_inside_a_task_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt), Progress(quiet=True).task("Training", 4):
        raise KeyboardInterrupt


def test_a_file_name_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    print_failures([(Path("x"), "Cannot read \x1b[2Jparts.png: damaged.")])
    assert capsys.readouterr().err.splitlines()[1] == "  Cannot read �[2Jparts.png: damaged."
