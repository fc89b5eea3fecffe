"""``evaluate``, ``calibrate``, ``info``, ``data describe``, ``doctor`` and ``demo``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blemish import Detector
from blemish.model_file.bundle import read_manifest


def test_evaluate_prints_tables_and_writes_figures(
    blemish: Any, judging: dict[str, Path], part: Path, tmp_path: Path
) -> None:
    result = blemish("evaluate", judging["model"], part, "--json", "figures.json")
    assert result.returncode == 0, result.stderr
    assert "AUROC" in result.stdout
    assert "mAD" in result.stdout
    assert "called defective" in result.stdout.replace("\n", " ")
    said = " ".join(result.stdout.split())
    assert "Power at the promise" in said
    assert "* Too few good images for 1 %: the limit is the largest good score; " in said
    figures = json.loads((tmp_path / "figures.json").read_text())
    expected = Detector.load(judging["model"]).evaluate(part)
    assert json.dumps(figures).count("image_auroc") >= 1
    shown = blemish("evaluate", judging["model"], part, "--json", "-")
    assert json.loads(shown.stdout) == figures
    assert list(figures["products"]) == [expected.products[0].product] == ["part"]
    power = [one.figures() for one in expected.products[0].power]
    assert figures["products"]["part"]["power"] == power
    assert [one["false_alarm_rate"] for one in power] == [0.01, 0.05]


def test_evaluate_keeps_products_that_were_never_learned_out_of_the_mean(
    blemish: Any, judging: dict[str, Path], part: Path, tmp_path: Path
) -> None:
    shutil.copytree(part, tmp_path / "line" / "part")
    shutil.copytree(part, tmp_path / "line" / "lid")
    result = blemish("evaluate", judging["model"], "line", "--json", "figures.json")
    assert result.returncode == 0, result.stderr
    assert "In no mean, as the model never learned them: lid" in " ".join(result.stdout.split())
    alone = blemish("evaluate", judging["model"], part, "--json", "-")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["mean"] == json.loads(alone.stdout)["mean"]


def test_evaluate_says_when_the_model_knows_none_of_the_products(
    blemish: Any, part_folder: Any, part: Path, tmp_path: Path
) -> None:
    for name in ("lid", "nut"):
        part_folder(tmp_path / "line" / name)
    fit = ("fit", "line", "-m", "patchcore", "--size", 64, "--teacher-weights", "random")
    assert blemish(*fit, "--out", "m.blemish").returncode == 0
    shutil.copytree(part, tmp_path / "other" / "part")
    shutil.copytree(part, tmp_path / "other" / "cap")
    said = "The model never learned cap, part: it knows lid, nut."
    assert said in blemish("evaluate", "m.blemish", "other").stderr
    assert "never learned" not in blemish("evaluate", "m.blemish", "line").stderr


def test_evaluate_states_the_error_of_bounded_memory_and_gives_aders_f1_max(
    blemish: Any, refused: Any, judging: dict[str, Path], part: Path
) -> None:
    binned = blemish("evaluate", judging["model"], part, "--histogram")
    assert binned.returncode == 0, binned.stderr
    assert " ± 0" in binned.stdout
    assert "± is the largest possible error" in binned.stdout
    ader = blemish("evaluate", judging["model"], part, "--compatibility", "ader")
    assert "F1-max as in ADer" in ader.stdout
    assert "mAD with pixel F1-max as in ADer: " in ader.stdout
    both = blemish("evaluate", judging["model"], part, "--histogram", "--compatibility", "ader")
    assert 'needs mode "exact"' in refused(both)


def test_evaluate_lists_broken_images_and_refuses_unlabelled_ones(
    blemish: Any, refused: Any, judging: Any, part_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = part_folder(tmp_path / "part", train=2)
    (root / "test" / "good" / "00.png").write_text("no image")
    result = blemish("evaluate", judging["model"], root)
    assert result.returncode == 2
    assert "AUROC" in result.stdout
    assert "1 image(s) could not be read:" in result.stderr
    shutil.rmtree(root / "test")
    message = refused(blemish("evaluate", judging["model"], root))
    assert f"No labelled test image in {root} (layout " in message


def test_pictures_join_and_leave_the_limits(
    blemish: Any, refused: Any, judging: dict[str, Path], new_good: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.blemish"
    shutil.copy(judging["model"], model)
    good = sorted(new_good.iterdir())
    for count, (words, n) in enumerate(
        [
            ((good[0], good[1], "--false-alarm-rate", "0.2"), 2),
            ((good[1], good[2], "--how", "join"), 3),
            ((good[0], "--how", "exclude"), 2),
        ]
    ):
        result = blemish("calibrate", model, *words)
        assert result.returncode == 0, (count, result.stderr)
        assert f"limits from {n} good images at a false-alarm rate of 0.2" in result.stdout
    message = refused(blemish("calibrate", model, good[5], "--how", "exclude"))
    assert f"{good[5].name}#" in message
    assert "not among the good images" in message
    assert "exclude needs images" in refused(blemish("calibrate", model, "--how", "exclude"))
    (tmp_path / "x.png").write_text("no image")
    message = refused(blemish("calibrate", model, tmp_path / "x.png"))
    assert "None of the 1 images could be read" in message
    assert "found text beginning with 'no image'" in message
    assert "replace, join or exclude" in refused(blemish("calibrate", model, "--how", "add"))


def test_a_limit_is_estimated_on_request_and_called_that(
    blemish: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    model = tmp_path / "m.blemish"
    shutil.copy(judging["model"], model)  # 8 good images
    rates = ("--false-alarm-rate", "0.01")
    result = blemish("calibrate", model, *rates, "--estimate")
    said = " ".join(result.stderr.split())
    assert "8 were given: the limit is an estimate from the tail of their scores." in said
    assert "(estimate)" in blemish("info", model).stdout
    again = blemish("calibrate", model, "--false-alarm-rate", "0.02")
    assert "the limit is an estimate" in " ".join(again.stderr.split())  # until taken back
    plain = blemish("calibrate", model, *rates, "--no-estimate")
    assert "the limit used has a false-alarm rate of at most 11 %" in " ".join(plain.stderr.split())
    assert "(estimate)" not in blemish("info", model).stdout


def test_who_sets_the_limit_is_shown_and_left_out_by_name(
    blemish: Any, refused: Any, judging: dict[str, Path], new_good: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.blemish"
    shutil.copy(judging["model"], model)
    made = blemish("calibrate", model, new_good, "--false-alarm-rate", "0.2")
    setter = made.stdout.rpartition(", set by ")[2].strip(".\n")
    assert (new_good / setter).is_file()
    assert setter in blemish("info", model).stdout
    result = blemish("calibrate", model, "--exclude", setter)
    assert result.returncode == 0, result.stderr
    assert "limits from 11 good images at a false-alarm rate of 0.2, set by " in result.stdout
    assert "The model has learned them" not in result.stderr  # it was set aside
    message = refused(blemish("calibrate", model, "--exclude", setter))
    assert f"{setter} is not among the 11 good images" in message
    assert "give no others" in refused(blemish("calibrate", model, new_good, "--exclude", setter))


def test_a_product_is_no_markup_and_a_new_one_is_told(
    blemish: Any, judging: dict[str, Path], new_good: Path
) -> None:
    words = ("calibrate", judging["model"], new_good, "-o", "new.blemish")
    result = blemish(*words, "--product", "[/b]x")
    assert "Training has not seen the product [/b]x" in result.stderr
    shown = blemish("info", "new.blemish")
    assert shown.returncode == 0, shown.stderr
    assert "[/b]x" in shown.stdout


def test_calibrate_changes_the_limits_and_nothing_else(
    blemish: Any, refused: Any, judging: dict[str, Path], new_good: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.blemish"
    shutil.copy(judging["model"], model)
    before = read_manifest(model)
    good = new_good
    words = ("calibrate", model, good, "--product", "part", "--false-alarm-rate", "0.1")
    result = blemish(*words, "-o", "new.blemish")
    assert result.returncode == 0, result.stderr
    assert "limits from 12 good images at a false-alarm rate of 0.1" in result.stdout
    assert read_manifest(model) == before
    after = read_manifest(tmp_path / "new.blemish")
    assert after.files == before.files
    assert after.calibration is not None
    assert after.calibration != before.calibration
    again = blemish("calibrate", "new.blemish", "--false-alarm-rate", "0.2")
    assert again.returncode == 0, again.stderr
    changed = read_manifest(tmp_path / "new.blemish").calibration
    assert changed is not None
    assert changed["groups"] == after.calibration["groups"]
    assert changed["false_alarm_rate"] == 0.2
    for wrong in (("--false-alarm-rate", "0.9"), ("-o", "no/such.blemish"), ("gone",)):
        refused(blemish("calibrate", "new.blemish", *wrong))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.blemish", "new.blemish"]


def test_info_says_what_a_file_holds(
    blemish: Any, refused: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    shown = blemish("info", judging["model"])
    assert shown.returncode == 0, shown.stderr
    for word in ("rd", "efficientnet_lite0", "64×64", "part", "limits of"):
        assert word in shown.stdout
    as_json = json.loads(blemish("info", judging["model"], "--json").stdout)
    assert as_json["digest"] == read_manifest(judging["model"]).digest
    (tmp_path / "text.blemish").write_text("hello")
    assert "not a blemish model file" in refused(blemish("info", "text.blemish"))


def test_describe_says_what_a_folder_holds(
    blemish: Any, refused: Any, part: Path, tmp_path: Path
) -> None:
    shown = blemish("data", "describe", part)
    assert shown.returncode == 0, shown.stderr
    assert "mvtec_ad" in shown.stdout
    assert "stain" in shown.stdout
    assert "no data set at" in refused(blemish("data", "describe", "gone"))


def test_describe_says_once_what_many_products_have_in_common(
    blemish: Any, part_folder: Any, tmp_path: Path
) -> None:
    for name in "abcdef":
        part_folder(tmp_path / "line" / name, train=2)
        shutil.rmtree(tmp_path / "line" / name / "test")
    result = blemish("data", "describe", "line")
    assert result.returncode == 0, result.stderr
    notes = [line for line in result.stdout.splitlines() if line.startswith("- ")]
    assert len(notes) <= 2, notes
    assert "and 3 more: " in " ".join(notes)


def test_doctor_lists_what_is_there(blemish: Any) -> None:
    shown = blemish("doctor")
    assert shown.returncode == 0, shown.stderr
    for word in ("torch", "lightning", "GiB", "weights present", "fastapi"):
        assert word in shown.stdout


DEMO = ("demo", "here", "--products", "metal")


def _small_line(before: str = "") -> str:
    """The demo with small pictures and few of them."""
    return (
        "import blemish.demo_line as line, functools\n"
        "few = dict(size=64, train=16, test_good=4, defects_per_kind=4)\n"
        "line.write_demo_line = functools.partial(line.write_demo_line, **few)\n" + before
    )


def test_the_demo_goes_from_nothing_to_verdicts_and_begins_anew_only_where_it_must(
    blemish: Any, tmp_path: Path
) -> None:
    first = blemish(*DEMO, before=_small_line())
    assert first.returncode == 0, first.stderr
    assert "Statistics" in first.stderr
    here = tmp_path / "here"
    assert sorted(path.name for path in here.iterdir()) == [
        "demo.blemish", "heatmaps", "line", "verdicts.csv",
    ]  # fmt: skip
    assert "ynthetic" in first.stdout
    pictures = [path for path in (here / "heatmaps").rglob("*") if path.is_file()]
    rows = (here / "verdicts.csv").read_text().splitlines()
    assert len(pictures) == len(rows) - 1 >= 8
    model = (here / "demo.blemish").read_bytes()
    second = blemish(*DEMO, before=_small_line())
    assert second.returncode == 0, second.stderr
    assert "Statistics" not in second.stderr
    assert (here / "demo.blemish").read_bytes() == model

    def made() -> tuple[str, float]:
        manifest = read_manifest(here / "demo.blemish")
        return manifest.method, manifest.training["demo"]["rate"]

    assert made() == ("trio", 0.05)
    other_rate = blemish(*DEMO, "--false-alarm-rate", "0.2", before=_small_line())
    assert other_rate.returncode == 0, other_rate.stderr
    assert "Statistics" in other_rate.stderr
    assert made() == ("trio", 0.2)
    earlier = "from blemish import Detector\nDetector.__init__.__defaults__ = ('patchcore',)\n"
    other_default = blemish(*DEMO, before=_small_line(earlier))
    assert other_default.returncode == 0, other_default.stderr
    assert made() == ("patchcore", 0.05)


def test_a_stopped_demo_leaves_no_model(blemish: Any, tmp_path: Path) -> None:
    stop = """
import os, signal
from blemish.methods.trio.model import Trio
Trio.fit_statistics = lambda self, batches: os.kill(os.getpid(), signal.SIGINT)
"""
    stopped = blemish(*DEMO, before=_small_line(stop))
    assert stopped.returncode == 130, stopped.stderr
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["line"]


def test_an_unknown_product_of_the_demo_is_refused(
    blemish: Any, refused: Any, tmp_path: Path
) -> None:
    for products in ("metal,wood", ""):
        message = refused(blemish("demo", "here", "--products", products))
        assert "metal, fabric, board, tray" in message


@pytest.mark.parametrize("verb", ["evaluate", "predict", "calibrate", "info"])
def test_verbs_refuse_a_picture_as_a_model(
    verb: str, blemish: Any, refused: Any, judging: dict[str, Path], part: Path
) -> None:
    words = () if verb == "info" else (part,)
    assert "not a blemish model file" in refused(blemish(verb, judging["ok"], *words))


def test_scores_of_the_command_line_are_those_of_the_library(
    blemish: Any, judging: dict[str, Path], tmp_path: Path
) -> None:
    blemish("predict", judging["model"], judging["ok"], judging["defect"], "--json", "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    detector = Detector.load(judging["model"])
    expected = list(detector.predict([judging["ok"], judging["defect"]]))
    assert [line["verdict"] for line in lines] == [p.verdict for p in expected]
    assert np.allclose([line["score"] for line in lines], [p.score for p in expected], atol=1e-6)
