"""The one door, trained: what it says of pictures, its limits, its measures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish import Detector
from blemish.data.layouts import read_data_set
from blemish.errors import (
    CalibrationError,
    ConfigError,
    DataError,
    ImageError,
)
from blemish.inspector import open_model
from blemish.model_file.bundle import read_bundle
from brief_detector import Pixels, brief, fit


@pytest.fixture(scope="module")
def detector(model_file: Path) -> Detector:
    return Detector.load(model_file)


def test_a_prediction_says_all_there_is_to_say(detector: Detector, part: Path) -> None:
    predictions = list(detector.predict(part / "test"))
    assert [p.path for p in predictions] == sorted((part / "test").rglob("*.png"))
    for p in predictions:
        assert p.anomaly_map.shape == (64, 64)
        assert p.anomaly_map.dtype == np.float32
        assert p.mask is not None
        assert p.mask.shape == (64, 64)
        assert p.p_value is not None
        assert 0 < p.p_value <= 1
        assert p.verdict in ("ok", "unsure", "defect")
        assert sum(region.area for region in p.regions) == p.mask.sum()


def test_maps_and_boxes_are_at_the_size_of_the_source(detector: Detector, part: Path) -> None:
    image = np.asarray(Image.open(part / "test" / "stain" / "00.png").convert("RGB"))
    tall = np.asarray(Image.fromarray(image).resize((90, 150)))
    p = next(detector.predict(tall))
    assert p.anomaly_map.shape == (150, 90)
    assert p.mask is not None
    for region in p.regions:
        left, top, right, bottom = region.box
        assert 0 <= left < right <= 90
        assert 0 <= top < bottom <= 150
        assert p.mask[top:bottom, left:right].any()


def test_a_model_file_needs_nothing_else(
    part_folder: Callable[..., Path], tmp_path: Path, draw_part: Callable[..., Pixels]
) -> None:
    data = part_folder(tmp_path / "data")
    trained = brief()
    fit(trained, data)
    images = np.stack([draw_part(300 + seed) for seed in range(3)])
    before = list(trained.predict(images))
    trained.save(tmp_path / "here.blemish")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "here.blemish", tmp_path / "elsewhere" / "there.blemish")
    shutil.rmtree(data)
    loaded = Detector.load(tmp_path / "elsewhere" / "there.blemish")
    for one, other in zip(before, loaded.predict(images), strict=True):
        assert (one.score, one.p_value, one.verdict) == (other.score, other.p_value, other.verdict)
        assert np.array_equal(one.anomaly_map, other.anomaly_map)
    assert loaded.products == trained.products == ("data",)
    assert loaded.calibration == trained.calibration
    assert loaded.settings == trained.config.to_json()
    loaded.save(tmp_path / "again.blemish")
    again = read_bundle(tmp_path / "again.blemish").files
    assert again == read_bundle(tmp_path / "elsewhere" / "there.blemish").files


def test_nothing_works_before_training(tmp_path: Path, good_parts: Pixels) -> None:
    detector = brief()
    for action in (
        lambda: detector.save(tmp_path / "m.blemish"),
        lambda: next(detector.predict(good_parts[0])),
        lambda: detector.calibrate(good_parts),
        lambda: detector.evaluate(good_parts),
    ):
        with pytest.raises(ConfigError, match="not trained yet"):
            action()
    assert not list(tmp_path.iterdir())


def test_a_bit_depth_holds_for_arrays_and_files(
    good_parts: Pixels, tmp_path: Path, model_file: Path
) -> None:
    """12-bit pixels in 16-bit arrays and files give what the 8-bit ones give."""
    twelve = np.rint(good_parts[0][..., 0] / 255 * 4095).astype(np.uint16)
    Image.fromarray(twelve).save(tmp_path / "12bit.tiff")
    loaded = Detector.load(model_file)
    assert loaded.preprocessing is not None
    loaded.preprocessing = replace(loaded.preprocessing, bit_depth=12)
    eight = next(loaded.predict(good_parts[0][..., 0]))
    assert next(loaded.predict(twelve)).score == eight.score
    assert next(loaded.predict(tmp_path / "12bit.tiff")).score == eight.score


def test_images_of_mixed_sizes_and_kinds(detector: Detector, good_parts: Pixels) -> None:
    images = [
        np.zeros((1, 1), np.uint8),
        np.zeros((2, 500, 3), np.uint8),
        np.full((700, 3), 255, np.uint8),
        good_parts[0][..., :1],
        np.zeros((40, 50, 4), np.uint8) + 9,
        np.ones((30, 20), np.float64),
    ]
    sizes = [p.anomaly_map.shape for p in detector.predict(images, batch_size=4)]
    assert sizes == [image.shape[:2] for image in images]
    for p in detector.predict(images):
        assert np.isfinite(p.score)
        assert np.isfinite(p.anomaly_map).all()


def test_unreadable_images_are_reported_and_the_rest_go_on(
    detector: Detector, part: Path, tmp_path: Path
) -> None:
    good = sorted((part / "test").rglob("*.png"))
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "cut.png").write_bytes(good[0].read_bytes()[:300])
    given = [good[0], tmp_path / "text.jpg", good[1], tmp_path / "cut.png"]
    failed: list[Path] = []
    predictions = detector.predict(given, batch_size=2, on_error=lambda p, e: failed.append(p))
    assert [p.path for p in predictions] == good[:2]
    assert failed == [given[1], given[3]]
    with pytest.raises(ImageError, match=r"text\.jpg"):
        list(detector.predict(given))


def test_batches_change_no_verdict(detector: Detector, part: Path) -> None:
    one = list(detector.predict(part / "test", batch_size=1))
    other = list(detector.predict(part / "test", batch_size=3))
    assert [p.path for p in one] == [p.path for p in other]
    assert [p.score for p in one] == pytest.approx([p.score for p in other], abs=1e-4)


def test_another_product_leaves_the_limits_that_are_there(
    model_file: Path, good_parts: Pixels, part: Path
) -> None:
    detector = Detector.load(model_file)
    assert detector.calibration is not None
    before = detector.calibration.limits("part")
    detector.calibrate(good_parts, product="nut")
    assert detector.calibration.products == ("nut", "part")
    assert detector.calibration.limits("part") == before
    rates = detector.calibration.false_alarm_rate, detector.calibration.unsure_rate
    assert rates == (0.3, 0.5)
    one = sorted((part / "test" / "good").iterdir())[0]
    detector.calibrate(one, how="join")
    detector.calibrate(one, how="join")  # counts once
    held = detector.calibration.limits("part").n
    detector.calibrate(one, how="exclude")
    assert detector.calibration.limits("part").n == held - 1


def test_a_prediction_says_by_which_limits_it_was_judged(
    model_file: Path, good_parts: Pixels
) -> None:
    detector = Detector.load(model_file)
    assert detector.calibration is not None
    (first,) = detector.predict(good_parts[0])
    assert first.calibration == detector.calibration.version
    detector.calibrate(good_parts)
    (second,) = detector.predict(good_parts[0])
    assert second.calibration == detector.calibration.version != first.calibration
    detector.forget_limits()
    (third,) = detector.predict(good_parts[0])
    assert third.calibration is third.verdict is None


def test_calibrating_again_needs_no_training(model_file: Path, good_parts: Pixels) -> None:
    detector = Detector.load(model_file)
    notes = detector.calibrate(good_parts, false_alarm_rate=0.1)  # of its only product
    assert detector.calibration is not None
    assert detector.calibration.products == ("part",)
    assert detector.calibration.n == 12
    assert not any("needs at least" in note and "10 %" in note for note in notes)
    verdicts = [p.verdict for p in detector.predict(good_parts, product="part")]
    # The largest 10 % of 12 and one more: one good image lies above the limit at most.
    assert verdicts.count("defect") <= 1
    with pytest.raises(CalibrationError, match="No good images"):
        detector.calibrate([])


def test_evaluation_follows_the_order_of_the_images_also_past_unreadable_ones(
    model_file: Path, part_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = part_folder(tmp_path / "part")
    detector = Detector.load(model_file)
    whole = detector.evaluate(root)
    assert (whole.products[0].good, whole.products[0].defective) == (2, 2)
    (root / "test" / "good" / "00.png").write_text("no image")
    rest = detector.evaluate(root)
    assert (rest.products[0].good, rest.products[0].defective) == (1, 2)
    assert [path.name for path, _ in rest.failures] == ["00.png"]
    # By hand, image by image.
    data_set = read_data_set(root).split("test")
    scores = {
        sample.path: next(detector.predict(sample)).score
        for sample in data_set.samples
        if sample.path not in dict(rest.failures)
    }
    good = [scores[s.path] for s in data_set.samples if s.is_good and s.path in scores]
    bad = [scores[s.path] for s in data_set.samples if not s.is_good]
    expected = np.mean([[b > g for g in good] for b in bad])
    assert rest.mean["image_auroc"] == pytest.approx(expected)


def test_evaluation_needs_labelled_test_images(detector: Detector, good_parts: Pixels) -> None:
    with pytest.raises(DataError, match="No labelled test image"):
        detector.evaluate(good_parts)


def test_a_detector_says_what_it_is(model_file: Path, exported_file: Path) -> None:
    assert repr(Detector("rd")) == "<Detector 'rd', not trained yet>"
    assert repr(Detector.load(model_file)) == (
        "<Detector 'rd' of part; calibrated on 2 good images at 30 %>"
    )
    exported = open_model(exported_file)
    assert repr(exported) == (
        "<ExportedDetector 'rd' of part; calibrated on 2 good images at 30 %>"
    )
    exported.forget_limits()
    assert repr(exported).endswith("of part; not calibrated>")
