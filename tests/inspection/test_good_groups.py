"""Groups of calibrating images: what the limits count, and what does not calibrate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.calibration import CalibrationRecord, calibrate
from blemish.data.sample import Sample
from blemish.errors import CalibrationError
from blemish.inspection.good_groups import GoodGroups
from brief_detector import brief, fit

TRAINED = {"groups": {"ring": {"by": "^(kos[0-9]+)(?![0-9])", "names": ["kos01", "kos02"]}}}


def given(names: list[str], product: str = "ring") -> list[Sample]:
    return [Sample(Path(name), product, "test", None) for name in names]


def records(groups: GoodGroups, folder: str = "") -> list[CalibrationRecord]:
    return groups.name(
        (s, CalibrationRecord(s.product, 1.0, 1.0, image=f"{s.path.name}#{folder}{at}"))
        for at, s in enumerate(groups.samples)
    )


def test_new_images_are_grouped_as_those_that_trained_were() -> None:
    """Three would be too few for a guess."""
    groups = GoodGroups(given(["kos07_Part0.jpg", "kos07_Part1.jpg", "kos08.jpg"]), "auto", TRAINED)
    assert [r.group for r in records(groups)] == ["kos07", "kos07", "kos08"]
    assert groups.notes == ["ring: grouped by kosNN: 2 groups of 3 images."]
    alone = GoodGroups(groups.samples, "none", TRAINED)
    assert [r.group for r in records(alone)] == ["", "", ""]


def test_groups_that_trained_do_not_calibrate_unless_they_do_already() -> None:
    groups = GoodGroups(given(["kos01_0.jpg", "kos02_0.jpg", "kos07_0.jpg"]), "auto", TRAINED)
    judged = records(groups)
    left = groups.unlearned(judged, None)
    assert [r.group for r in left] == ["kos07"]
    assert groups.notes[-1].startswith(
        "2 of 3 good images are of groups that the model has learned, such as kos01, and do not"
    )
    known = calibrate(judged[1:2])
    assert [r.group for r in groups.unlearned(judged, known)] == ["kos02", "kos07"]
    with pytest.raises(CalibrationError, match="1 of 1 good images are of groups that the model"):
        groups.unlearned(judged[:1], None)
    other = GoodGroups(given(["kos01_0.jpg"], "cap"), "kos[0-9]+", TRAINED)
    assert len(other.unlearned(records(other), None)) == 1  # of another product


def test_a_model_is_calibrated_by_groups(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for item in range(16):
        for view in range(2):
            picture = rng.integers(90, 110, (64, 64, 3)).astype(np.uint8)
            folder = tmp_path / ("train" if item < 8 else "later")
            folder.mkdir(exist_ok=True)
            Image.fromarray(picture).save(folder / f"kos{item:02}_Part{view}.png")
    detector = brief()
    report = fit(detector, tmp_path / "train")
    assert "train: grouped by kosNN: 8 groups of 16 images; --group none treats each alone." in (
        report.notes
    )
    assert detector.calibration is not None
    trained = detector.training["groups"]["train"]["names"]
    assert (len(trained), detector.calibration.counted) == (6, "4 good images of 2 groups")
    notes = detector.calibrate(tmp_path / "later", how="join")
    assert detector.calibration.counted == "20 good images of 10 groups"
    assert "train: grouped by kosNN: 8 groups of 16 images." in notes
    assert any("The limits rest on 20 good images of 10 groups" in note for note in notes)
    detector.calibrate(tmp_path / "later" / "kos08_Part0.png", how="exclude")
    assert detector.calibration.counted == "19 good images of 10 groups"
    detector.calibrate(tmp_path / "later" / "kos08_Part1.png", how="exclude")
    assert detector.calibration.counted == "18 good images of 9 groups"
    for name in trained:  # new pictures of what was learned
        picture = rng.integers(90, 110, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{name}_Part9.png")
    with pytest.raises(CalibrationError, match="are of groups that the model has learned"):
        detector.calibrate([tmp_path / f"{name}_Part9.png" for name in trained])
    detector.calibrate(tmp_path / "later", group="none")
    assert detector.calibration.counted == "16 good images"
