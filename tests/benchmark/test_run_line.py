"""One run, from its spec to its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.benchmark.plan import BenchmarkOptions, plan_runs
from blemish.benchmark.protocols import split_parts
from blemish.benchmark.run import run_line
from blemish.data.layouts import read_data_set
from blemish.methods.anomem.model import AnoMem
from blemish.methods.rd.model import RD
from blemish.training import stage

CPU = TrainingOptions(device="cpu")

Make = Callable[..., BenchmarkOptions]


def lines(options: BenchmarkOptions) -> list[dict]:
    found = [run_line(run) for run in plan_runs(options)]
    json.dumps(found, allow_nan=False)
    return found


def test_a_row_holds_what_the_detector_says(line: Path, options: Make) -> None:
    (found,) = lines(options(line, seeds=(3,)))
    detector = Detector(
        "rd",
        teacher_weights="random",
        image_size=64,
        settings={"steps": 2, "batch_size": 4},
    )
    torch.manual_seed(0)  # the random teacher
    report = detector.fit(
        line, seed=3, false_alarm_rate=0.4, training=CPU, progress=Progress(quiet=True)
    ).fit_report
    expected = detector.evaluate(line)
    assert [row["category"] for row in found["rows"]] == ["bolt", "nut"]
    for row, result in zip(found["rows"], expected.products, strict=True):
        assert row["metrics"] == dict(result.metrics)  # to the last bit
        assert result.operating is not None
        assert row["operating"]["fp"] == result.operating.fp
        assert row["operating"]["recall"] == result.operating.recall
        assert row["power"] == [power.figures() for power in result.power]
        assert [power["false_alarm_rate"] for power in row["power"]] == [0.01, 0.05]
        assert row["measured"] == {"good": 3, "defective": 3, "masked": 3}
        assert row["kinds"]["scratch"]["image_auroc"] == result.kinds["scratch"].image_auroc
    assert found["status"] == "done"
    assert found["model"]["training_images"] == report.training_images == 12
    assert found["model"]["calibration_images"] == 4
    assert found["model"]["input_size"] == [64, 64]


def test_aders_f1_max_and_the_error_of_bounded_memory(line: Path, options: Make) -> None:
    (ader,) = lines(options(line, compatibility="ader"))
    (binned,) = lines(options(line, histogram=True))
    assert ader["identity"]["compatibility"] == "ader"
    for row, other in zip(ader["rows"], binned["rows"], strict=True):
        assert 0 <= row["metrics"]["pixel_f1_max_ader"] <= row["metrics"]["pixel_f1_max"] + 1e-6
        assert "pixel_f1_max_ader" not in other["metrics"]
        assert "error_bounds" not in row
        for name, bound in other["error_bounds"].items():
            assert abs(row["metrics"][name] - other["metrics"][name]) <= bound + 1e-9


def test_a_row_says_where_and_how_it_was_measured(line: Path, options: Make) -> None:
    (found,) = lines(options(line))
    assert found["seconds"]["fit"] > 0
    assert found["wall_seconds"] >= found["seconds"]["fit"]
    assert found["peak_memory_mib"] > 50
    assert found["environment"]["threads"] >= 1
    assert found["environment"]["packages"]["torch"]
    assert found["identity"]["config"]["steps"] == 2
    assert found["rows"][0]["counts"] == {
        "train_good": 8,
        "train_defective": 0,
        "validation_good": 0,
        "test_good": 3,
        "test_defective": 3,
    }


def test_per_category_trains_on_that_category_alone(line: Path, options: Make) -> None:
    found = lines(options(line, protocol="per_category"))
    assert [[row["category"] for row in one["rows"]] for one in found] == [["bolt"], ["nut"]]
    assert [one["model"]["training_images"] for one in found] == [6, 6]
    assert list(found[0]["data"]["fingerprints"]) == ["bolt"]


def test_a_line_names_no_folder_of_the_machine(line: Path, options: Make, tmp_path: Path) -> None:
    (line / "nut" / "test" / "good" / "000.png").write_bytes(b"no image")
    (line / "nut" / "train" / "good" / "000.png").write_bytes(b"no image")
    (found,) = lines(options(line))
    assert found["unreadable"]["count"] == 2
    assert found["unreadable"]["first"][0].startswith("Cannot read line/nut/train/good/000.png")
    text = json.dumps(found)
    assert str(tmp_path) not in text
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert str(Path(__file__).parents[2]) not in text


def test_a_corrupt_category_leaves_the_others_their_figures(line: Path, options: Make) -> None:
    for path in (line / "nut" / "train" / "good").iterdir():
        path.write_bytes(b"no image")
    (found,) = lines(options(line))
    assert found["status"] == "done"
    bolt, nut = found["rows"]
    assert bolt["metrics"]["image_auroc"] is not None
    assert nut["error"] == "No good training image of nut could be used."
    assert "metrics" not in nut  # a model that never saw the category says nothing of it

    each = lines(options(line, protocol="per_category"))
    assert [one["status"] for one in each] == ["done", "failed"]
    assert "0 readable good images" in each[1]["rows"][0]["error"]


def test_a_category_whose_test_images_are_corrupt_says_so(line: Path, options: Make) -> None:
    for path in (line / "nut" / "test").rglob("*.png"):
        path.write_bytes(b"no image")
    (found,) = lines(options(line))
    assert found["rows"][0]["error"] is None
    assert found["rows"][1]["error"] == "No labelled test image of nut could be read."


def test_without_defects_or_masks_the_rest_is_given(line: Path, options: Make) -> None:
    for path in (line / "nut" / "test" / "scratch").iterdir():
        path.unlink()
    for path in (line / "bolt" / "ground_truth" / "scratch").iterdir():
        path.unlink()
    (found,) = lines(options(line))
    bolt, nut = found["rows"]
    assert bolt["metrics"]["image_auroc"] is not None
    assert bolt["metrics"]["pixel_aupro"] is None
    assert "No defective image has a mask" in bolt["problems"][0]
    assert nut["metrics"]["image_auroc"] is None
    assert nut["operating"]["fp"] + nut["operating"]["tn"] == 3


def test_one_class_measures_the_whole_test_set(digits: Path, options: Make) -> None:
    (found,) = lines(options(digits, layout="mnist", protocol="one_class", classes=("3",)))
    (row,) = found["rows"]
    assert row["category"] == "3"
    assert row["measured"] == {"good": 5, "defective": 15, "masked": 0}
    assert list(row["kinds"]) == ["0", "1", "2"]
    assert found["model"] | {"input_size": None} == {
        "input_size": None,
        "training_images": 8,
        "calibration_images": 2,
        "cached_features": True,
        "shared_features": False,
        "resumed": False,
        "variant": "",
    }


def test_unbalanced_reports_the_unseen_classes_apart(digits: Path, options: Make) -> None:
    asked = options(
        digits,
        layout="mnist",
        protocol="unbalanced",
        classes=("0",),
        known=("1",),
        ratios=(0.0,),
        hold_out=0.0,
    )
    (found,) = lines(asked)
    (row,) = found["rows"]
    assert row["unseen"] == ["2", "3"]
    assert row["operating"] is None  # nothing was held out, so there is no limit
    assert row["power"] == []

    data_set = read_data_set(digits, layout="mnist")
    (run,) = plan_runs(asked)
    parts = split_parts(data_set, run.unit, seed=0, hold_out_share=0.0)
    detector = Detector(
        "rd", teacher_weights="random", image_size=64, settings={"steps": 2, "batch_size": 4}
    )
    torch.manual_seed(0)  # the random teacher
    detector.fit(parts.training, hold_out_share=0.0, training=CPU, progress=Progress(quiet=True))
    assert parts.unseen is not None
    expected = detector.evaluate(parts.unseen).products[0].metrics
    assert row["metrics"]["image_auroc_unseen"] == expected["image_auroc"]
    assert (
        row["metrics"]["image_auroc"]
        == (detector.evaluate(parts.test).products[0].metrics["image_auroc"])
    )


def test_unbalanced_trains_on_labelled_anomalies_of_the_known_class(
    digits: Path, options: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = AnoMem.distance_loss

    def counted(self: AnoMem, inputs: Any, normal: Any) -> Any:
        seen.append(int((~normal).sum()))
        return original(self, inputs, normal)

    monkeypatch.setattr(AnoMem, "distance_loss", counted)
    found = lines(
        options(
            digits,
            methods=("anomem",),
            settings=(
                ("steps", "2"),
                ("batch_size", "4"),
                ("encoder", "scratch"),
                ("width", "8"),
            ),
            size=32,
            layout="mnist",
            protocol="unbalanced",
            classes=("0",),
            known=("1",),
            ratios=(0.0, 0.2),
        )
    )
    for one, labelled in zip(found, (0, 2), strict=True):
        (row,) = one["rows"]
        assert one["error"] is None
        assert one["model"]["training_images"] == 8
        assert row["counts"]["train_defective"] == labelled  # 2 of 2 + 8: a fifth
        assert row["unseen"] == ["2", "3"]
        assert row["measured"] == {"good": 5, "defective": 15, "masked": 0}
        assert row["metrics"]["image_auroc_unseen"] is not None
    # One step of the distance stage in each run: the labelled ones take part in the second alone.
    assert [count > 0 for count in seen] == [False, True]


def test_no_test_image_reaches_training_or_calibration(
    line: Path, options: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    fit = Detector.fit

    def watched(self: Detector, data, **given):  # type: ignore[no-untyped-def]
        seen.extend(sample.split for sample in data.samples)
        return fit(self, data, **given)

    monkeypatch.setattr(Detector, "fit", watched)
    lines(options(line))
    assert set(seen) == {"train"}


def test_a_bug_becomes_a_line_and_a_traceback(
    line: Path, options: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("in the middle of it")

    monkeypatch.setattr(Detector, "judge_test_images", broken)
    (found,) = lines(options(line))
    assert found["status"] == "failed"
    assert [row["error"] for row in found["rows"]] == ["ZeroDivisionError: in the middle of it"] * 2
    assert "Traceback" in capsys.readouterr().err


def test_unreadable_data_fail_with_their_reason(options: Make, tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"corrupt")
    (found,) = lines(options(tmp_path, layout="mnist", protocol="one_class"))
    assert found["status"] == "failed"
    assert found["rows"][0]["category"] is None
    assert "train-images-idx3-ubyte" in found["error"]


def test_a_stopped_training_goes_on_from_its_checkpoint(
    line: Path, options: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = plan_runs(options(line))
    whole = run_line(run)
    trained: list[str] = []
    train_stage, fit_statistics = stage.run_stage, RD.fit_statistics

    def counted(*given: Any, **more: Any) -> Any:
        trained.append(given[1].name)
        return train_stage(*given, **more)

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "run_stage", counted)
    monkeypatch.setattr(RD, "fit_statistics", stopped)  # the stage is done, its checkpoint written
    work = str(tmp_path / "work")
    with pytest.raises(KeyboardInterrupt):
        run_line(run, work_dir=work)
    monkeypatch.setattr(RD, "fit_statistics", fit_statistics)
    found = run_line(run, work_dir=work)
    assert trained == ["distill"]  # once
    assert found["rows"] == whole["rows"]
    assert (whole["model"]["resumed"], found["model"]["resumed"]) == (False, True)
