"""Runs and their identities: equal where the figures must be, different where they may not be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from blemish.benchmark import plan as module
from blemish.benchmark.plan import (
    BenchmarkOptions,
    RunSpec,
    code_changed,
    command_line,
    plan_runs,
)
from blemish.errors import ConfigError

Make = Callable[..., BenchmarkOptions]


def identities(options: BenchmarkOptions) -> list[str]:
    return [run.run for run in plan_runs(options)]


def test_one_run_per_method_data_unit_and_seed(line: Path, options: Make) -> None:
    runs = plan_runs(options(line, protocol="per_category", seeds=(0, 1), methods=("rd", "hfr")))
    assert [(r.identity["seed"], r.unit.categories[0], r.identity["method"]) for r in runs] == [
        (seed, category, method)
        for seed in (0, 1)
        for category in ("bolt", "nut")
        for method in ("rd", "hfr")
    ]
    assert len({run.run for run in runs}) == 8


def test_all_that_decides_a_figure_is_in_the_identity(
    line: Path, options: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = identities(options(line))
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"1")
    changes: list[dict[str, object]] = [
        {"methods": ("hfr",)},
        {"settings": (("steps", "3"), ("batch_size", "4"))},
        {"seeds": (1,)},
        {"size": 96},
        {"size": (64, 96)},
        {"hold_out": 0.3},
        {"false_alarm_rate": 0.1},
        {"teacher": "efficientnet_lite1"},
        {"speed": "fast", "size": None},
        {"speed": "best", "size": None},
        {"teacher_weights": "pretrained"},
        {"teacher_weights": str(weights)},
        {"products": ("nut",)},
        {"histogram": True},
        {"compatibility": "ader"},
        {"precision": "bf16-mixed"},
        {"data": (f"other={line}",)},
    ]
    found = [identities(options(line, **change))[0] for change in changes]
    weights.write_bytes(b"2")
    found += identities(options(line, teacher_weights=str(weights)))
    (line / "nut" / "train" / "good" / "000.png").write_bytes(b"changed")
    found += identities(options(line))
    monkeypatch.setattr(module, "code_fingerprint", lambda _: "other code")
    found += identities(options(line))
    assert len({before, *found}) == len(found) + 1


def test_what_decides_no_figure_is_not(line: Path, options: Make, tmp_path: Path) -> None:
    (before,) = identities(options(line))
    moved = shutil.copytree(line, tmp_path / "elsewhere" / "line")
    assert identities(options(moved)) == [before]
    explicit = (("sigma", "4.0"), ("batch_size", "4"), ("steps", "2"))  # a default, said aloud
    assert identities(options(line, settings=explicit)) == [before]


def test_a_category_of_its_own_is_independent_of_the_others(line: Path, options: Make) -> None:
    before = identities(options(line, protocol="per_category"))
    (line / "nut" / "train" / "good" / "000.png").write_bytes(b"changed")
    after = identities(options(line, protocol="per_category"))
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_spec_crosses_to_its_process_unchanged(line: Path, options: Make) -> None:
    (run,) = plan_runs(options(line, size=(64, 96)))
    again = RunSpec(**json.loads(json.dumps(asdict(run))))
    assert again == run
    assert again.run == run.run
    assert run.title == "rd · line · one_for_all · seed 0"


def test_settings_may_be_meant_for_one_method(line: Path, options: Make) -> None:
    settings = (("hfr.steps", "7"), ("steps", "2"))
    runs = plan_runs(options(line, methods=("rd", "hfr"), settings=settings))
    assert [run.identity["config"]["steps"] for run in runs] == [2, 7]
    assert [run.changed for run in runs] == [{"steps": 2}, {"steps": 7}]


def test_the_papers_presets_can_be_measured(line: Path, options: Make) -> None:
    asked = options(
        line, methods=("rd", "hfr"), preset="paper", settings=(("hfr.balance", "true"),)
    )
    runs = plan_runs(asked)
    assert [run.changed["student"] for run in runs] == ["mirror", "mirror"]
    assert runs[0].changed["epochs"] == 200  # rd's paper
    assert "balance" in runs[0].changed
    assert "balance" not in runs[1].changed  # what is set wins
    assert "--preset paper" in command_line(asked, "out")
    assert "--preset" not in command_line(options(line), "out")


def test_the_dial_brings_teacher_and_size_of_each_method(line: Path, options: Make) -> None:
    (best,) = plan_runs(options(line, speed="best", size=None))
    assert best.identity["teacher"]["name"] == "efficientnet_lite2"
    assert (best.identity["speed"], best.identity["size"]) == ("best", None)
    (own,) = plan_runs(options(line, speed="best", teacher="efficientnet_lite0"))
    assert own.identity["teacher"]["name"] == "efficientnet_lite0"
    with pytest.raises(ConfigError, match="Did you mean 'best'"):
        plan_runs(options(line, speed="bes"))


def test_labelled_anomalies_are_not_dropped_in_silence(digits: Path, options: Make) -> None:
    asked = {"protocol": "unbalanced", "classes": ("0",), "known": ("1",)}
    with pytest.raises(ConfigError, match="rd learns from good images alone and cannot use"):
        plan_runs(options(digits, layout="mnist", ratios=(0.1,), **asked))
    (run,) = plan_runs(options(digits, layout="mnist", ratios=(0.0,), **asked))
    assert run.title == "rd · digits · unbalanced · 0 · ratio 0 · seed 0"


def test_a_method_that_uses_them_is_planned(
    digits: Path, options: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blemish.methods.rd.model.RD.uses_labelled_anomalies", True)
    runs = plan_runs(
        options(digits, layout="mnist", protocol="unbalanced", known=("1", "2"), ratios=(0.1, 0.2))
    )
    assert [(r.unit.categories, r.unit.ratio) for r in runs][:3] == [
        (("0",), 0.1),
        (("0",), 0.2),
        (("1",), 0.1),
    ]
    assert runs[0].unit.known == ("1", "2")


def test_data_that_cannot_be_read_fail_as_a_run(line: Path, options: Make, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    runs = plan_runs(options(broken, line))
    assert [bool(run.unreadable) for run in runs] == [True, False]
    assert str(tmp_path) not in runs[0].unreadable
    assert "broken is empty" in runs[0].unreadable


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ("bored",)}, "Unknown method 'bored'"),
        ({"methods": ()}, "--method names nothing"),
        ({"seeds": (0, 0)}, "--seeds names 0 twice"),
        ({"seeds": (-1,)}, "--seeds -1"),
        ({"hold_out": 1.0}, "--hold-out 1"),
        ({"false_alarm_rate": 0.0}, "--false-alarm-rate 0"),
        ({"teacher": "efficientnet_lite9"}, "Did you mean 'efficientnet_lite"),
        ({"teacher_weights": "missing.pth"}, "Cannot read the teacher weights missing.pth"),
        ({"settings": (("stepz", "2"),)}, "Did you mean 'steps'"),
        ({"settings": (("hfr.steps", "2"),)}, "Unknown method in --set 'hfr'"),
        ({"products": ("nutt",)}, "Unknown product 'nutt'. Did you mean 'nut'"),
        ({"protocol": "one_class", "products": ("nut",)}, "with --classes, not --products"),
        ({"compatibility": "anomalib"}, "Compatibility is 'anomalib'"),
        ({"compatibility": "ader", "histogram": True}, 'needs mode "exact"'),
        ({"layout": "mvtec"}, "Unknown layout 'mvtec'"),
    ],
)
def test_what_no_run_could_work_with_stops_at_once(
    line: Path, options: Make, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_runs(options(line, **change))
    assert message in str(caught.value)


def test_two_data_sets_of_one_name_need_names(line: Path, options: Make, tmp_path: Path) -> None:
    other = shutil.copytree(line, tmp_path / "deeper" / "line")
    with pytest.raises(ConfigError, match="Two data sets are called line"):
        plan_runs(options(line, other))
    runs = plan_runs(options(data=(f"a={line}", f"b={other}")))
    assert [run.identity["data"]["name"] for run in runs] == ["a", "b"]


def test_the_command_names_no_folder_of_the_machine(options: Make, tmp_path: Path) -> None:
    asked = options(
        data=(str(tmp_path / "lids"), f"nuts={tmp_path / 'raw'}"),
        teacher_weights=str(tmp_path / "w.pth"),
        size=(64, 96),
        products=("a", "b"),
        seeds=(0, 2),
    )
    command = command_line(asked, str(tmp_path / "out"))
    assert command == (
        "blemish benchmark --method rd --data lids,nuts=raw --protocol one_for_all --seeds 0,2 "
        "--set steps=2 --set batch_size=4 --products a,b --teacher-weights w.pth --size 64x96 "
        "--false-alarm-rate 0.4 --device cpu --out out"
    )


def test_the_command_brings_every_option_back(options: Make, tmp_path: Path) -> None:
    asked = options(
        tmp_path / "x", classes=("0",), known=("1", "2"), ratios=(0.0, 0.05), histogram=True
    )
    words = command_line(asked, "out").split()
    assert "--classes 0 --known 1,2 --ratios 0,0.05" in " ".join(words)
    assert words[-3:] == ["--histogram", "--out", "out"]
    assert command_line(options(tmp_path / "x", compatibility="ader"), "out").endswith(
        "--device cpu --compatibility ader --out out"
    )


def test_changed_sources_are_noticed(
    line: Path, options: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = plan_runs(options(line))
    assert not code_changed(run)
    monkeypatch.setattr(module, "code_fingerprint", lambda _: "other code")
    assert code_changed(run)
