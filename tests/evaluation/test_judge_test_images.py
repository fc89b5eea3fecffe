"""Each prediction of a data set stands beside its own sample, whatever could not be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.detector import Detector
from blemish.errors import ImageError
from blemish.evaluation.evaluator import Evaluator


@pytest.fixture(scope="module")
def detector() -> Detector:
    """Of random weights: nothing here depends on what it finds."""
    good = np.random.default_rng(0).integers(90, 110, (12, 32, 32, 3)).astype(np.uint8)
    settings = {"steps": 1, "batch_size": 2}
    detector = Detector("rd", teacher_weights="random", image_size=32, settings=settings)
    detector.fit(good, false_alarm_rate=0.3)
    return detector


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Twenty test images of growing width, the third and the last not readable."""
    for name, count in (("train/good", 2), ("test/good", 10), ("test/scratch", 10)):
        folder = tmp_path / "nut" / name
        folder.mkdir(parents=True)
        for i in range(count):
            width = 20 + i + 10 * ("scratch" in name)
            Image.new("RGB", (width, 16), (i * 9, 90, 90)).save(folder / f"{i:03}.png")
    (tmp_path / "nut" / "test" / "good" / "002.png").write_bytes(b"\x89PNG no more")
    (tmp_path / "nut" / "test" / "scratch" / "009.png").write_bytes(b"")
    return tmp_path


def test_predictions_stay_beside_their_samples(detector: Detector, parts: Path) -> None:
    unreadable: list[Path] = []
    pairs = list(
        detector.judge_test_images(parts, on_error=lambda path, error: unreadable.append(path))
    )
    assert [path.name for path in unreadable] == ["002.png", "009.png"]
    assert len(pairs) == 18
    for sample, prediction in pairs:
        assert sample.label is not None
        assert prediction.path == sample.path
        position = int(sample.path.stem) + (0 if sample.is_good else 10)
        assert prediction.anomaly_map.shape == (16, 20 + position)  # of this image, no other


def test_evaluate_measures_the_same_pairs(detector: Detector, parts: Path) -> None:
    evaluator = Evaluator(calibration=detector.calibration)
    for sample, prediction in detector.judge_test_images(parts, on_error=lambda path, error: None):
        evaluator.add(sample, prediction)
    measured = detector.evaluate(parts)
    assert measured.products == evaluator.compute().products
    assert [path.name for path, _ in measured.failures] == ["002.png", "009.png"]


def test_without_on_error_the_first_unreadable_image_is_raised(
    detector: Detector, parts: Path
) -> None:
    with pytest.raises(ImageError, match=r"002\.png"):
        list(detector.judge_test_images(parts))
