"""The one door, learning: what trains, what is set aside, what is refused."""

from __future__ import annotations

import inspect
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.cli.benchmark import benchmark as cli_benchmark
from blemish.cli.fit import fit as cli_fit
from blemish.data.sample import DataSet, Sample
from blemish.errors import (
    ConfigError,
    DataError,
    TrainingInterruptedError,
)
from blemish.methods.rd.model import RD
from blemish.model_file.bundle import read_bundle
from brief_detector import BRIEF, CPU, Pixels, brief, fit


def test_the_library_and_the_command_line_train_the_same_system_by_default() -> None:
    def default(of: Callable[..., Any]) -> Any:
        return inspect.signature(of).parameters["method"].default

    assert default(Detector) == default(cli_fit) == default(cli_benchmark) == "trio"


def test_the_report_counts_what_was_really_used(
    part_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = part_folder(tmp_path / "part", train=20)
    images = sorted((root / "train" / "good").iterdir())
    for path in images[::5]:
        path.write_bytes(path.read_bytes()[:300])  # the header is whole, the pixels are not
    (root / "train" / "good" / "text.jpg").write_text("no image")
    detector = brief()
    report = fit(detector, root)
    assert len(report.failures) == 5
    assert {path for path, _ in report.failures} == {*images[::5], images[0].parent / "text.jpg"}
    assert report.training_images + report.calibration_images == 16
    assert detector.calibration is not None
    assert report.calibration_images == detector.calibration.n
    assert detector.training["training_images"] == report.training_images
    assert (report.layout, report.products) == ("mvtec_ad", ("part",))


def test_validation_images_calibrate_where_there_are_some(
    part_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = part_folder(tmp_path / "part")
    shutil.copytree(root / "test" / "good", root / "validation" / "good")
    report = fit(brief(), root)
    assert (report.training_images, report.calibration_images) == (12, 2)
    beside_them = fit(Detector("trio", image_size=64), root)
    assert (beside_them.training_images, beside_them.calibration_images) == (12, 14)
    alone = fit(Detector("trio", image_size=64), root, hold_out_share=0.2)
    assert (alone.training_images, alone.calibration_images) == (12, 2)
    assert any("no training image was held out" in note for note in alone.notes)
    with pytest.raises(ConfigError, match="A share of nan"):
        fit(Detector("trio", image_size=64), root, hold_out_share=float("nan"))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Sample]]:
    """What ``fit`` trains on and what it calibrates on."""
    import blemish.inspection.judging_model as judging
    import blemish.training.train as training

    seen: dict[str, list[Sample]] = {"trained": [], "calibrated": []}
    train, judge = training.train, judging.judge_samples

    def watch_train(method: Any, samples: Any, *args: Any, **kwargs: Any) -> Any:
        seen["trained"].extend(samples)
        return train(method, samples, *args, **kwargs)

    def watch_judge(network: Any, preprocessing: Any, samples: Any, **kwargs: Any) -> Any:
        seen["calibrated"].extend(samples)
        return judge(network, preprocessing, samples, **kwargs)

    monkeypatch.setattr(training, "train", watch_train)
    monkeypatch.setattr(judging, "judge_samples", watch_judge)
    return seen


def test_calibration_images_never_train(
    part_folder: Callable[..., Path], tmp_path: Path, seen: dict[str, list[Sample]]
) -> None:
    root = part_folder(tmp_path / "part")
    fit(brief(), root, hold_out_share=0.25)
    trained, calibrated = ({s.path for s in seen[part]} for part in ("trained", "calibrated"))
    assert len(seen["calibrated"]) == 3
    assert not trained & calibrated
    assert trained | calibrated == set((root / "train" / "good").iterdir())


def test_no_part_both_trains_and_calibrates(
    good_parts: Pixels, seen: dict[str, list[Sample]]
) -> None:
    views = [
        Sample(Path(f"{i}.png"), "usb", "train", 0, image=image, part=f"S{i // 4}")
        for i, image in enumerate(good_parts)
    ]
    fit(brief(), DataSet("real_iad", Path("usb"), tuple(views)), hold_out_share=0.33)
    trained, calibrated = ({s.part for s in seen[part]} for part in ("trained", "calibrated"))
    assert (len(seen["trained"]), len(seen["calibrated"])) == (8, 4)
    assert not trained & calibrated


def test_too_few_images_train_without_verdicts(good_parts: Pixels) -> None:
    detector = brief()
    report = fit(detector, good_parts[:2])
    assert report.calibration_images == 0
    assert any("Not calibrated" in note and "blemish calibrate" in note for note in report.notes)
    p = next(detector.predict(good_parts[0]))
    assert (p.verdict, p.p_value, p.mask, p.regions) == (None, None, None, ())


def test_held_out_images_that_cannot_be_read_do_not_lose_the_training(
    part_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = part_folder(tmp_path / "part", train=6)
    (root / "validation" / "good").mkdir(parents=True)
    (root / "validation" / "good" / "0.png").write_text("no image")
    detector = brief()
    report = fit(detector, root)
    assert detector.calibration is None
    assert report.calibration_images == 0
    assert [path.name for path, _ in report.failures] == ["0.png"]
    assert any("Not calibrated" in note for note in report.notes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"false_alarm_rate": 0.0},
        {"false_alarm_rate": 2.0},
        {"false_alarm_rate": float("nan")},
        {"unsure_rate": 0.01},
        {"hold_out_share": 1.0},
        {"hold_out_share": -0.1},
        {"seed": -1},
        {"training": {"seed": 3}},
        {"training": TrainingOptions(work_dir=__file__)},
        {"training": TrainingOptions(cache_dir=__file__)},
    ],
)
def test_impossible_options_are_refused_before_training(
    wrong: dict[str, Any], good_parts: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "blemish.training.train.training_batches", lambda *a, **k: pytest.fail("it trained")
    )
    with pytest.raises(ConfigError):
        fit(brief(), good_parts, **wrong)


def test_a_seed_given_alone_goes_with_the_other_options(good_parts: Pixels) -> None:
    detector = brief()
    fit(detector, good_parts, seed=7, training=replace(CPU, seed=3, precision="bf16-mixed"))
    assert (detector.training["seed"], detector.training["precision"]) == (7, "bf16-mixed")
    fit(detector, good_parts, training=replace(CPU, seed=3))
    assert detector.training["seed"] == 3


def test_impossible_models_are_refused_at_once() -> None:
    for wrong in (
        {"method": "rdd"},
        {"settings": {"step": 1}},
        {"image_size": 100},
        {"image_size": 0},
        {"image_size": (64, 10**6)},
        {"image_size": (64,)},
        {"image_size": (64, 64, 3)},
        {"image_size": (64.0, 64.0)},
    ):
        with pytest.raises(ConfigError):
            Detector(**wrong)  # type: ignore[arg-type]


def test_a_training_that_fails_leaves_the_detector_as_it_was(
    good_parts: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector("rd", settings=BRIEF)
    fit(detector, good_parts)
    before = next(detector.predict(good_parts[0]))
    with monkeypatch.context() as patch:
        patch.setattr(RD, "after_step", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(TrainingInterruptedError):
            fit(detector, good_parts[:, :48, :32], training=replace(CPU, work_dir=tmp_path))
    after = next(detector.predict(good_parts[0]))
    assert (after.score, after.p_value) == (before.score, before.p_value)
    assert detector.products == ("product",)


def test_a_new_training_forgets_the_old_limits(good_parts: Pixels) -> None:
    detector = brief()
    fit(detector, good_parts)
    assert detector.calibration is not None
    fit(detector, good_parts[:3])
    assert detector.calibration is None


def test_the_same_seed_gives_the_same_file(good_parts: Pixels, tmp_path: Path) -> None:
    weights = []
    for run, seed in enumerate((3, 3, 4)):
        detector = brief(teacher_weights="random")
        torch.rand(run)  # what happened before does not matter
        fit(detector, good_parts, seed=seed)
        detector.save(tmp_path / "m.blemish")
        weights.append(read_bundle(tmp_path / "m.blemish").files["model.safetensors"])
    assert weights[0] == weights[1] != weights[2]


def test_the_callers_random_numbers_stay_as_they_were(good_parts: Pixels, model_file: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(brief(), good_parts)
    Detector.load(model_file)
    assert torch.equal(torch.rand(3), expected)


def test_a_product_name_that_is_no_text_is_refused_before_training(
    good_parts: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blemish.training.train.train", lambda *a, **k: pytest.fail("it trained"))
    samples = tuple(
        Sample(Path(f"{i}.png"), "nut\udcff", "train", 0, image=image)
        for i, image in enumerate(good_parts)
    )
    with pytest.raises(DataError, match="not valid text"):
        fit(brief(), DataSet("folder", Path("x"), samples))


def test_every_good_image_calibrates_what_measures_it_by_the_others(good_parts: Pixels) -> None:
    quiet = Progress(quiet=True)
    whole = Detector("trio", image_size=64)
    report = whole.fit(good_parts, false_alarm_rate=0.1, progress=quiet).fit_report
    assert report.training_images == report.calibration_images == len(good_parts)
    halved = Detector("trio", image_size=64)
    halved.fit(good_parts, false_alarm_rate=0.1, hold_out_share=0.5, progress=quiet)
    report = halved.fit_report
    assert report.training_images + report.calibration_images == len(good_parts)
    assert report.training_images < len(good_parts)
    # What the finished model says of images it has learned from would be far too kind a limit.
    limit = sorted(p.score for p in whole.predict(good_parts))[-2]
    assert whole.calibration is not None
    (group,) = whole.calibration.groups
    assert sorted(record.score for record in group.records())[-2] > limit


def test_what_calibrates_already_is_not_measured_by_a_model_that_has_learned_it(
    part_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = part_folder(tmp_path)
    detector = Detector("trio", image_size=64)
    fit(detector, root)
    before = detector.calibration
    assert before is not None
    good = root / "train" / "good"
    for how in ("join", "replace"):
        detector.calibrate(good, how=how)
        assert detector.calibration == before
