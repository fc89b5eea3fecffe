"""The verb ``blemish benchmark``: what it prints and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from blemish.cli.app import main
from forked import ForkServer, fork_modules


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch, forks: ForkServer) -> None:
    """Its runs are processes of their own all the same."""
    monkeypatch.setattr(subprocess, "Popen", subprocess.Popen)  # to have it back
    fork_modules(forks)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["blemish", "benchmark", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_measures_and_writes_tables(
    part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    given = ["--data", str(part), "--out", str(out), "--speed", "fast"]
    given += ["--teacher-weights", "random", "--seeds", "0"]
    assert run(monkeypatch, *given) == 0
    printed = capfd.readouterr().out
    assert "[1/1] trio · part · one_for_all · seed 0: image AUROC" in printed
    assert "1 runs, 1 of them now" in printed
    table = (out / "tables.md").read_text(encoding="utf-8")
    assert "## part, one_for_all" in table
    assert "input 128×128; speed fast" in table  # pictures of 64 pixels, doubled
    (out / "tables.md").unlink()
    assert run(monkeypatch, "tables", str(out)) == 0
    assert (out / "tables.md").read_text(encoding="utf-8") == table


def test_a_run_without_figures_ends_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(monkeypatch, "--data", str(empty), "--out", str(tmp_path / "out"), "-q") == 2
    errors = capfd.readouterr().err
    assert "1 without figures:\n  trio · empty · one_for_all · seed 0: empty is empty" in errors
    assert (tmp_path / "out" / "rows.jsonl").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs --data PATH and --out DIR"),
        (["--data", "x", "--out", "y", "--seeds", "a"], "--seeds a: expected numbers"),
        (["--data", "x", "--out", "y", "--protocol", "one_for_al"], "Did you mean 'one_for_all'"),
        (["tables", "nowhere"], "There is no nowhere/rows.jsonl"),
    ],
)
def test_a_wrong_call_says_what_is_right(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
