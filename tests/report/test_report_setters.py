"""The report shows the good images that set the limits, where their files are among the images."""

from __future__ import annotations

from pathlib import Path

import pytest
from stand_in import BrightSpots, write_part, write_product
from test_report import Page

from blemish.calibration import Calibration, CalibrationRecord, calibrate, image_identity
from blemish.data.layouts import read_data_set
from blemish.report.report import make_report, render_page
from blemish.report.setters import shown_setters


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = write_product(tmp_path, [2, 3], {"dent": [80, 90]})
    write_part(root / "nut" / "train" / "good" / "odd.png", 40)
    return root


def limits(root: Path, odd: float) -> Calibration:
    """Even scores up to 2.9, and that of a training picture."""
    file = root / "nut" / "train" / "good" / "odd.png"
    good = [CalibrationRecord("nut", k / 10, k / 10, image=f"{k}.png#{k}") for k in range(30)]
    own = CalibrationRecord("nut", odd, odd, image=image_identity("odd.png", file.read_bytes()))
    return calibrate([*good, own])


def page(root: Path, calibration: Calibration | None) -> Page:
    return Page(render_page(make_report(BrightSpots(calibration), root)))


def test_a_picture_that_sets_the_limit_alone_is_shown(root: Path) -> None:
    made = page(root, limits(root, 9.0))
    said = " ".join(made.words.split())
    assert "The limit rests on 1 good image, 5.4 times as far above the median" in said
    assert "Without it the limit is 2.9 instead of 9" in said
    shown = [attrs for tag, attrs in made.tags if attrs.get("alt") == "Good image odd.png"]
    assert len(shown) == 1
    assert str(shown[0]["src"]).startswith("data:image/jpeg;base64,")


def test_one_that_is_not_far_and_not_here_has_a_quiet_line(root: Path) -> None:
    made = page(root, limits(root, 1.0))
    said = " ".join(made.words.split())
    assert "The good image whose score is nearest to the limit; no other is far from it." in said
    assert "29.png (not among these images)" in said
    assert "Who sets the limit" not in page(root, None).words
    nameless = calibrate([CalibrationRecord("nut", s, s) for s in range(30)])
    assert "Who sets the limit" not in page(root, nameless).words


def test_another_file_of_that_name_is_not_taken_for_it(root: Path) -> None:
    calibration = limits(root, 9.0)
    write_part(root / "nut" / "train" / "good" / "odd.png", 41)
    found = shown_setters(calibration, read_data_set(root).samples)["nut"]
    assert [(one.name, one.picture) for one in found.pictures] == [("odd.png", None)]
    samples = read_data_set(root).samples
    (root / "nut" / "train" / "good" / "odd.png").unlink()
    assert shown_setters(calibration, samples)["nut"].pictures[0].picture is None
