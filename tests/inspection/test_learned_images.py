"""What trained a model sets no limits, wherever its files lie by then."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish import open_model
from blemish.calibration import CalibrationRecord, calibrate
from blemish.errors import CalibrationError
from blemish.inspection.learned_images import LEARNED_IMAGES, packed, records_not_learned
from blemish.model_file.bundle import read_manifest
from brief_detector import QUIET, brief, fit


@pytest.fixture
def nuts(tmp_path: Path) -> Path:
    """``seen/`` to train on, ``new/`` not."""
    rng = np.random.default_rng(0)
    for name in [f"seen/{i}" for i in range(10)] + [f"new/{i}" for i in range(10, 16)]:
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(90, 110, (64, 64, 3)).astype(np.uint8)).save(path)
    return tmp_path


def test_images_that_trained_do_not_calibrate(nuts: Path) -> None:
    detector = brief()
    fit(detector, nuts / "seen")
    limits = detector.calibration
    assert limits is not None
    held = {image for group in limits.groups for image in group.images}
    trained = [p for p in (nuts / "seen").iterdir() if not any(p.name in i for i in held)]
    assert (len(held), len(trained)) == (2, 8)
    copies = nuts / "more"
    copies.mkdir()
    for path in trained:
        shutil.copy(path, copies / f"copy of {path.name}")
    with pytest.raises(CalibrationError, match="trained on all 8 images, such as copy of"):
        detector.calibrate(copies)
    assert detector.calibration is limits
    detector.save(nuts / "nut.blemish")
    detector = open_model(nuts / "nut.blemish")  # type: ignore[assignment]
    notes = detector.calibrate([copies, nuts / "new"])
    assert detector.calibration is not None
    assert detector.calibration.n == 6
    assert any("was trained on 8 of the 14 images, such as copy of" in note for note in notes)
    # Of all that were given to learn from, those set aside were not learned.
    notes = detector.calibrate(nuts / "seen", how="join")
    assert detector.calibration.n == 8


def test_arrays_are_known_again() -> None:
    pictures = np.random.default_rng(1).integers(90, 110, (10, 64, 64, 3)).astype(np.uint8)
    detector = brief()
    fit(detector, pictures)
    notes = detector.calibrate(pictures)
    assert detector.calibration is not None
    assert detector.calibration.n == 2
    assert any("was trained on 8 of the 10 images" in note for note in notes)


def test_what_was_measured_by_the_others_calibrates_again(nuts: Path) -> None:
    from blemish import Detector

    detector = Detector(teacher_weights="random", image_size=64)
    detector.fit(nuts / "seen", false_alarm_rate=0.3, progress=QUIET)
    scores = detector.calibration and detector.calibration.groups[0].scores
    detector.calibrate(nuts / "seen")
    assert detector.calibration is not None
    assert detector.calibration.groups[0].scores == scores
    detector.learn(nuts / "new", product="seen", progress=QUIET)
    known = detector.training[LEARNED_IMAGES]
    assert len(known) == 8 * 16
    detector.calibrate(nuts / "seen" / "0.png", how="exclude")
    with pytest.raises(CalibrationError, match=r"trained on the one image given, 0\.png"):
        detector.calibrate(nuts / "seen" / "0.png", how="join")


def test_test_images_that_trained_are_said(nuts: Path) -> None:
    for folder in ("train/good", "test/good", "test/stain"):
        (nuts / "nut" / folder).mkdir(parents=True)
    for path in (nuts / "seen").iterdir():
        shutil.copy(path, nuts / "nut" / "train" / "good")
    for path in (nuts / "new").iterdir():
        shutil.copy(path, nuts / "nut" / "test" / ("good" if path.stem < "13" else "stain"))
    detector = brief()
    fit(detector, nuts / "nut", hold_out_share=0.0)
    told: list[str] = []
    detector.evaluate(nuts / "nut", on_note=told.append)
    assert told == []
    shutil.copy(nuts / "seen" / "4.png", nuts / "nut" / "test" / "good" / "again.png")
    detector.evaluate(nuts / "nut", on_note=told.append)
    assert [note[:45] for note in told] == ["1 of the 7 test images, such as again.png, ha"]


def test_judged_images_are_told_by_what_they_are_known_by() -> None:
    learned = packed([bytes.fromhex("aa" * 32), bytes.fromhex("bb" * 32)])
    judged = [CalibrationRecord("nut", 1.0, 1.0, image=f"{x}.png#{x * 12}") for x in "abc"]
    assert records_not_learned(judged, learned, None) == judged[2:]
    assert records_not_learned(judged, learned, calibrate(judged[:1])) == [judged[0], judged[2]]
    assert records_not_learned(judged, "", None) == judged
    with pytest.raises(CalibrationError, match=r"all 2 images, such as a\.png"):
        records_not_learned(judged[:2], learned, None)


def test_the_model_file_stays_small(nuts: Path) -> None:
    many = [number.to_bytes(32, "little") for number in range(150_000)]
    assert len(packed(many)) == 8 * 150_000
    assert packed(many[:3], packed(many[2:5])) == packed(many[:5])
    detector = brief()
    fit(detector, nuts / "seen")
    detector.save(nuts / "nut.blemish")
    assert len(read_manifest(nuts / "nut.blemish").training[LEARNED_IMAGES]) == 8 * 8
