"""Good images to set limits by: a data set's defects and test images are never among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.data.good_images import good_images
from blemish.data.layouts import read_data_set
from blemish.errors import ConfigError, DataError


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """Two products in MVTec's layout: three good images each to train on, one to test, a defect."""
    root = tmp_path / "line"
    for number, product in enumerate(("cap", "nut")):
        for folder, count in (("train/good", 3), ("test/good", 1), ("test/scratch", 1)):
            for index in range(count):
                path = root / product / folder / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                grey = 40 * number + 10 * index + len(folder)
                Image.fromarray(np.full((8, 8), grey, np.uint8)).save(path)
    return root


def test_of_a_data_set_its_good_images_alone_under_their_products(line: Path) -> None:
    for source in (line, str(line), read_data_set(line), [line]):
        found, notes = good_images(source, ["cap", "nut"])
        assert [(s.product, s.label) for s in found] == [("cap", 0)] * 3 + [("nut", 0)] * 3
        assert not any("test" in s.path.parts for s in found)
        assert len(notes) == 1
        assert "its 6 good images" in notes[0]
        assert "4 others, of its test or no good ones, are not" in notes[0]


def test_a_named_product_is_the_one_that_is_taken(line: Path) -> None:
    found, _ = good_images(line, ["cap", "nut"], product="nut")
    assert {s.path.parts[-4] for s in found} == {"nut"}
    assert len(found) == 3
    with pytest.raises(ConfigError, match="the products cap, nut, none of which is lid"):
        good_images(line, ["lid"], product="lid")
    found, _ = good_images(line / "nut", ["lid"], product="lid")  # whatever the folder is called
    assert {s.product for s in found} == {"lid"}


def test_a_folder_of_kinds_gives_its_good_ones(line: Path) -> None:
    found, notes = good_images(line / "nut" / "test", ["cap", "nut"])
    assert [s.path.parent.name for s in found] == ["good"]
    assert len(notes) == 1
    assert {s.product for s in found} == {""}  # test names no product
    only = line / "nut" / "test" / "scratch"
    assert len(good_images(only)[0]) == 1  # who names it says that it is good


def test_products_are_called_as_they_were_learned(line: Path) -> None:
    (line / "cap").rename(line.parent / "cap")
    moved = line.parent / "other"
    for group in ("a", "b"):
        (moved / group).mkdir(parents=True)
    (line.parent / "cap").rename(moved / "a" / "cap")
    (line / "nut").rename(moved / "b" / "cap")
    assert read_data_set(moved).products == ("a-cap", "b-cap")
    found, notes = good_images(moved, ["cap"], folders={"cap": "a/cap"})
    assert {s.product for s in found} == {"cap", "b-cap"}
    assert "is what was learned as cap" in notes[0]


def test_images_are_of_the_product_that_their_folder_is_called(line: Path) -> None:
    flat = line / "nut" / "train" / "good"
    assert {s.product for s in good_images(flat, ["nut"])[0]} == {""}
    flat = flat.rename(line.parent / "nut")
    assert {s.product for s in good_images(flat, ["nut"])[0]} == {"nut"}
    assert {s.product for s in good_images(flat.parent / "nut", ["cap"])[0]} == {""}
    one = flat / "0.png"
    assert [s.path for s in good_images(one, ["nut"])[0]] == [one]


def test_nothing_good_is_said(line: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        good_images(tmp_path / "nowhere")
    for path in (line / "nut" / "train" / "good").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="without good images for training or calibration"):
        good_images(line, ["nut"], product="nut")


def test_names_that_say_defective_are_minded(tmp_path: Path) -> None:
    flat = tmp_path / "NG_parts"
    flat.mkdir()
    for name in ("good_0", "good_1", "bad_0"):
        Image.new("L", (8, 8)).save(flat / f"{name}.png")
    found, notes = good_images(flat)
    assert [s.path.stem for s in found] == ["good_0", "good_1"]
    assert "NG_parts is called as folders of defective parts are" in notes[0]
    assert "1 of the 3 images in" in notes[1]
    assert "such as bad_0.png, and are left out" in notes[1]
