from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from blemish._progress import (
    Important,
    Progress,
    Task,
    grouped,
    print_failures,
    print_notes,
)


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
        "Training: 2/5 (12 s, about 18 s left) loss 0.5",
        "Training: 4/5 (24 s, about 6 s left) loss 0.5",
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


def test_the_time_left_is_said_early_and_for_what_is_done_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("blemish._progress.time.monotonic", lambda: now[0])
    with Progress().task("Training", 1000, done=400) as task:
        for _ in range(8):
            now[0] += 1.5
            task.advance()
    # 598 more at 1.5 s; the next line comes ten seconds later.
    assert capsys.readouterr().err == "Training: 402/1000 (3 s, about 15 min left)\n"


def test_notes_of_many_products_become_one_of_each_kind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from blemish.calibration import CalibrationRecord, calibrate

    records = [
        CalibrationRecord(f"p{product:02}", score, score)
        for product in range(50)
        for score in range(15 + product % 3)
    ]
    notes = calibrate(records).notes()
    assert len(notes) > 140
    print_notes(notes)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= 4
    assert (
        "Note: p00, p01, p02 and 47 more: 1 % needs at least 99 good images, 15 to 17 were given: "
        "the limit used has a false-alarm rate of at most 5.6 to 6.2 %."
    ) in lines


def test_the_important_comes_first_and_what_differs_stays_apart() -> None:
    few = ["a: 3 are few.", "b: 4 are few."]
    notes = ["Recognised in the pictures: 3 a, 4 b.", *few, Important("c: no image."), "Twice."]
    assert grouped([*notes, "Twice."]) == [notes[3], notes[0], *few, "Twice."]
    alike = [Important(f"{name}: no image.") for name in "abc"]
    assert grouped(["x", *alike]) == ["a, b, c: no image.", "x"]
    assert isinstance(grouped(alike)[0], Important)
    assert grouped([*(f"{n}: took {n} s" for n in "abc"), "d: took 9.5 s"]) == [
        *(f"{n}: took {n} s" for n in "abc"),
        "d: took 9.5 s",
    ]
    assert grouped([f"{n}: {10**k:,} of {k}" for k, n in enumerate("abcd", 2)]) == [
        "a, b, c and 1 more: 100 to 100,000 of 2 to 5"
    ]


def test_what_is_important_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_notes(["small", Important("large")])
    Progress().announce("To do: much.")
    Progress(quiet=True).announce("To do: nothing.")
    assert capsys.readouterr().err == "Important: large\nNote: small\nTo do: much.\n"
