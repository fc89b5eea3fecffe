"""Doing the runs: going on, trying again, cleaning up, and a real kill in the middle."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from blemish.benchmark import runner as module
from blemish.benchmark.plan import BenchmarkOptions, RunSpec
from blemish.benchmark.rows import read_lines
from blemish.benchmark.run import run_line
from blemish.benchmark.runner import run_benchmark
from blemish.benchmark.tables import csv_text
from blemish.errors import BlemishError, ConfigError
from forked import PLACE, ForkServer

Make = Callable[..., BenchmarkOptions]

_OPTIONS = ["--method", "rd", "--protocol", "per_category", "--size", "64", "--device", "cpu"]
_OPTIONS += ["--set", "steps=20", "--set", "batch_size=4", "--teacher-weights", "random", "-q"]


def figures(folder: Path) -> list[dict[str, Any]]:
    """The lines without what differs between two equal measurements."""
    lines = read_lines(folder)
    for line in lines:
        for name in ("seconds", "wall_seconds", "peak_memory_mib", "environment", "command"):
            del line[name]
        del line["model"]["resumed"]
    return lines


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


@pytest.mark.slow  # two starts of Python and five trainings; what is there is not done again below
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_kill_9_in_the_middle_and_the_same_command_again(
    forks: ForkServer, line: Path, tmp_path: Path, options: Make, here: list[str]
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    words = ("benchmark", "--data", line, *_OPTIONS, "--out", killed)
    process = forks.start(*words, cwd=tmp_path, **{PLACE: ""})  # its runs are Pythons of their own
    rows, work, training = (killed / name for name in ("rows.jsonl", "work", "training"))
    # The first run is written down and the second one is training: it has made its folder.
    wait_for(
        lambda: (
            rows.is_file()
            and rows.stat().st_size
            and any(p.parent.name not in rows.read_text() for p in training.glob("*/*.json"))
        )
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.end()
    assert len(children) == 1
    assert len(read_lines(killed)) == 1
    # The run under way ends with it and leaves nothing that counts.
    wait_for(lambda: not _alive(children[0]))
    assert not list(work.glob("*/result.json"))

    # The same goes on, here in one process, which makes no difference to the figures either.
    settings = (("steps", "20"), ("batch_size", "4"))
    asked = options(line, protocol="per_category", settings=settings, false_alarm_rate=0.01)
    assert run_benchmark(asked, killed).measured == 1
    assert run_benchmark(asked, whole).measured == 2
    assert len(here) == 3
    assert figures(killed) == figures(whole)
    assert len(figures(killed)) == 2
    assert _without_costs(killed) == _without_costs(whole)
    assert sorted(p.name for p in killed.iterdir()) == ["logs", "rows.jsonl"]
    for file in (killed / "logs").iterdir():
        # Across the kill: every step once, then what was measured.
        names = [row["name"] for row in csv.DictReader(file.open(newline=""))]
        assert names.count("distill/total") == 20
        assert {"final/image_auroc", "final/pixel_aupro", "final/found_at_0.01"} <= set(names)


def _alive(process: str) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _without_costs(folder: Path) -> list[list[str]]:
    table = [row.split(",") for row in csv_text(read_lines(folder)).splitlines()]
    return [row[:-6] for row in table]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Runs in this process, for speed; the titles of those done."""
    done: list[str] = []

    def in_this_process(run: RunSpec, workplace: dict[str, Any], folder: Path) -> dict[str, Any]:
        done.append(run.title)
        return run_line(run, **workplace)

    monkeypatch.setattr(module, "in_own_process", in_this_process)
    return done


def test_what_is_there_is_not_done_again(
    line: Path, options: Make, tmp_path: Path, here: list[str]
) -> None:
    out = tmp_path / "out"
    first = run_benchmark(options(line), out)
    assert (first.runs, first.measured, first.failed) == (1, 1, ())
    said: list[str] = []
    more = run_benchmark(options(line, seeds=(0, 1)), out, say=said.append)
    assert (more.runs, more.measured) == (2, 1)
    assert here == ["rd · line · one_for_all · seed 0", "rd · line · one_for_all · seed 1"]
    assert said[0] == "1 of 2 runs are there already."
    assert said[1].startswith("[1/1] rd · line · one_for_all · seed 1: image AUROC ")
    assert [line["seed"] for line in read_lines(out)] == [0, 1]


def test_other_settings_are_other_runs(
    line: Path, options: Make, tmp_path: Path, here: list[str]
) -> None:
    out = tmp_path / "out"
    run_benchmark(options(line), out)
    run_benchmark(options(line, settings=(("steps", "3"), ("batch_size", "4"))), out)
    assert len(read_lines(out)) == 2
    assert len(here) == 2


def test_a_failed_run_is_recorded_the_rest_goes_on_and_it_is_tried_again(
    line: Path, options: Make, tmp_path: Path, here: list[str]
) -> None:
    out = tmp_path / "out"
    broken = line / "bolt" / "train" / "good"
    saved = {path: path.read_bytes() for path in broken.iterdir()}
    for path in saved:
        path.write_bytes(b"no image")
    asked = options(line, protocol="per_category")
    outcome = run_benchmark(asked, out)
    assert [title for title, _ in outcome.failed] == ["rd · line · per_category · bolt · seed 0"]
    assert [entry["status"] for entry in read_lines(out)] == ["failed", "done"]
    again = run_benchmark(asked, out)
    assert again.measured == 1  # the failed one alone
    assert len(again.failed) == 1
    assert [entry["status"] for entry in read_lines(out)] == ["done", "failed"]
    for path, content in saved.items():
        path.write_bytes(content)
    assert run_benchmark(asked, out).failed == ()


def test_a_category_without_figures_counts_as_failed(
    line: Path, options: Make, tmp_path: Path, here: list[str]
) -> None:
    for path in (line / "nut" / "test").rglob("*.png"):
        path.write_bytes(b"no image")
    outcome = run_benchmark(options(line), tmp_path / "out")
    assert outcome.failed == (
        (
            "rd · line · one_for_all · seed 0 · nut",
            "No labelled test image of nut could be read.",
        ),
    )


def test_runs_of_several_methods_share_the_teachers_features(
    line: Path, options: Make, tmp_path: Path, here: list[str]
) -> None:
    out = tmp_path / "out"
    run_benchmark(options(line, methods=("rd", "hfr")), out)
    shared = [entry["model"]["shared_features"] for entry in read_lines(out)]
    assert shared == [False, True]
    assert sorted(p.name for p in out.iterdir()) == ["logs", "rows.jsonl"]


def test_kept_features_are_used_by_the_next_benchmark(
    line: Path, options: Make, tmp_path: Path, here: list[str]
) -> None:
    cache = tmp_path / "cache"
    (cache / "of somebody else").mkdir(parents=True)
    run_benchmark(options(line), tmp_path / "a", cache_dir=cache, keep_cache=True)
    # Of the training images; those set aside are not looked at for wrong labels here.
    assert len(list(cache.glob("*/*/complete.json"))) == 1
    run_benchmark(options(line), tmp_path / "b", cache_dir=cache)
    assert read_lines(tmp_path / "b")[0]["model"]["shared_features"]
    assert [p.name for p in cache.iterdir()] == ["of somebody else"]


def test_it_stops_when_the_sources_change_under_it(
    line: Path, options: Make, tmp_path: Path, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "code_changed", lambda run: run.identity["seed"] == 1)
    with pytest.raises(BlemishError, match=r"sources of blemish changed.*1 runs in"):
        run_benchmark(options(line, seeds=(0, 1, 2)), tmp_path / "out")
    assert [entry["seed"] for entry in read_lines(tmp_path / "out")] == [0]


def test_a_crashed_process_is_a_failed_run(
    line: Path, options: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = tmp_path / "crash"
    crash.write_text("#!/bin/sh\nkill -9 $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crash))
    outcome = run_benchmark(options(line), tmp_path / "out")
    ended = "The run's process ended by SIGKILL (out of memory?) without a result."
    assert outcome.failed == (("rd · line · one_for_all · seed 0", ended),)
    (entry,) = read_lines(tmp_path / "out")
    assert [row["category"] for row in entry["rows"]] == ["bolt", "nut"]


def test_out_must_be_a_folder(line: Path, options: Make, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(ConfigError, match="is a file"):
        run_benchmark(options(line), tmp_path / "out")


def test_spec_and_result_cross_as_files(
    line: Path, options: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blemish.benchmark.plan import plan_runs
    from blemish.benchmark.run import main

    (run,) = plan_runs(options(line))
    spec, result = tmp_path / "spec.json", tmp_path / "result.json"
    spec.write_text(json.dumps({"spec": asdict(run), "cache_dir": None}))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert main([str(spec), str(result)]) == 0
    assert json.loads(result.read_text())["run"] == run.run
