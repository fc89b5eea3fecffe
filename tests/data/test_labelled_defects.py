"""Labelled defects from whatever a user hands over, and what cannot be meant as such."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.data.layouts import read_data_set
from blemish.data.sample import Sample
from blemish.data.sources import labelled_defects
from blemish.errors import DataError


@pytest.fixture
def line(tmp_path: Path) -> Path:
    for name in ("good/1.png", "good/2.png", "scratch/1.png", "scratch/2.png", "dent/deep/1.png"):
        (tmp_path / "line" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / "line" / name)
    return tmp_path / "line"


def test_a_folder_a_file_and_an_array_are_defects_that_train(line: Path) -> None:
    given = [str(line / "scratch"), line / "dent" / "deep" / "1.png", np.zeros((5, 6), np.uint8)]
    found = labelled_defects(given, product="nut")
    assert [(s.label, s.split, s.product) for s in found] == [(1, "train", "nut")] * 4
    assert [s.defect_kind for s in found] == ["scratch", "scratch", "deep", None]
    (one,) = labelled_defects(line / "scratch" / "2.png")
    assert one.path == line / "scratch" / "2.png"


def test_of_a_data_set_only_the_defects_are_taken(line: Path) -> None:
    data_set = read_data_set(line)
    found = labelled_defects(data_set)
    assert sorted(s.path.name for s in found) == ["1.png", "1.png", "2.png"]
    assert {s.split for s in found} == {"train"}
    good = data_set.where(lambda s: s.is_good)
    with pytest.raises(DataError, match=r"No labelled defect was found in .*line"):
        labelled_defects(good)


def test_good_samples_among_the_given_ones_are_left_out() -> None:
    samples = [Sample(Path(f"{i}.png"), "nut", "test", i % 2) for i in range(4)]
    assert [s.path.name for s in labelled_defects(samples)] == ["1.png", "3.png"]


@pytest.mark.parametrize("wrong", ["", "good"])
def test_a_folder_with_good_images_is_refused(wrong: str, line: Path) -> None:
    for given in (line / wrong, [line / "scratch", str(line / wrong)]):
        with pytest.raises(DataError, match=r"holds good/.*not of defects.*scratch"):
            labelled_defects(given)


def test_what_does_not_exist_or_is_empty_is_said(line: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        labelled_defects(line / "scrach")
    (line / "none").mkdir()
    with pytest.raises(DataError, match="no images"):
        labelled_defects(line / "none")
