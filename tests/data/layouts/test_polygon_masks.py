"""LabelMe's and COCO's polygons: which images they mark, of which kind, and where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blemish.data.images.reading import read_mask
from blemish.data.layouts import read_data_set
from blemish.data.sources import training_data
from blemish.errors import DataError, ImageError

SQUARE = [[2, 3], [9, 3], [9, 12], [2, 12]]
Write = Callable[..., Path]


def labelme(path: Path, *shapes: dict[str, Any], size: tuple[int, int] = (20, 30)) -> Path:
    content = {"version": "5", "shapes": shapes, "imagePath": "x", "imageHeight": size[0]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | {"imageWidth": size[1]}), encoding="utf-8")
    return path


def shape(label: str, points: Any = SQUARE, kind: str = "polygon") -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind}


@pytest.fixture
def image(write_image: Callable[..., Path]) -> Write:
    return lambda path: write_image(path, size=(20, 30))


def test_labelme_beside_images_of_kinds(tmp_path: Path, image: Write) -> None:
    for name in ("good/1.png", "dent/1.png", "dent/2.png"):
        image(tmp_path / name)
    drawn = labelme(tmp_path / "dent" / "1.json", shape("dent"))
    data_set = read_data_set(tmp_path)
    told = [(s.path.name, s.label, s.defect_kind, s.mask_paths) for s in data_set.samples]
    assert told == [
        ("1.png", 0, None, ()),
        ("1.png", 1, "dent", (drawn,)),
        ("2.png", 1, "dent", ()),
    ]
    mask = read_mask(drawn, expected_size=(20, 30))
    assert set(np.unique(mask)) == {0, 255}
    assert mask[3:13, 2:10].all()
    assert np.count_nonzero(mask) == 10 * 8
    with pytest.raises(DataError, match="same size"):
        read_mask(drawn, expected_size=(30, 20))


def test_labelme_says_which_of_unsorted_images_are_good(tmp_path: Path, image: Write) -> None:
    for number in range(4):
        image(tmp_path / "part" / f"{number}.png")
    labelme(tmp_path / "part" / "0.json")
    labelme(tmp_path / "part" / "1.json", shape("ok"))
    labelme(tmp_path / "part" / "2.json", shape("scratch", [[1, 1], [3, 2]], "rectangle"))
    data_set = training_data(tmp_path / "part")
    assert [(s.path.name, s.split, s.label, s.defect_kind) for s in data_set.samples] == [
        ("0.png", "train", 0, None),
        ("1.png", "train", 0, None),
        ("2.png", "test", 1, "scratch"),
    ]
    (sentence,) = (text for text in data_set.problems if "the masks say" in text)
    assert "1 without a mask were left out" in sentence


def test_good_images_with_polygons_are_not_believed(tmp_path: Path, image: Write) -> None:
    for number in range(3):
        image(tmp_path / "good" / f"{number}.png")
    labelme(tmp_path / "good" / "1.json", shape("scratch"))
    data_set = read_data_set(tmp_path)
    assert [s.path.name for s in data_set.samples] == ["0.png", "2.png"]
    text = "\n".join(data_set.problems)
    assert "have polygons drawn on them and were left out: 1.png" in text


def coco(path: Path, names: list[str], annotations: list[dict[str, Any]]) -> Path:
    images = [{"id": i, "file_name": n, "height": 20, "width": 30} for i, n in enumerate(names)]
    kinds = [{"id": 1, "name": "dent"}, {"id": 2, "name": "hole"}]
    content = {"images": images, "annotations": annotations, "categories": kinds}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


FLAT = [value for point in SQUARE for value in point]


@pytest.mark.parametrize(
    ("file", "folder", "named"),
    [
        ("annotations/instances.json", "images/", ""),
        ("_annotations.coco.json", "", ""),
        ("annotations.json", "images/", "images/"),
    ],
)
def test_coco_says_which_images_are_good(
    file: str, folder: str, named: str, tmp_path: Path, image: Write
) -> None:
    root = tmp_path / "part"
    for number in range(3):
        image(root / folder / f"{number}.png")
    path = coco(
        root / file,
        [f"{named}{number}.png" for number in range(3)],
        [
            {"image_id": 1, "category_id": 2, "segmentation": [FLAT]},
            {"image_id": 2, "category_id": 1, "bbox": [4, 5, 6, 7]},
        ],
    )
    data_set = read_data_set(root)
    assert [(s.path.name, s.split, s.label, s.defect_kind) for s in data_set.samples] == [
        ("0.png", "train", 0, None),
        ("1.png", "test", 1, "hole"),
        ("2.png", "test", 1, "dent"),
    ]
    assert data_set.samples[1].mask_paths == (path.with_name(f"{path.name}#1"),)
    assert np.count_nonzero(read_mask(data_set.samples[1].mask_paths[0])) == 10 * 8
    assert read_mask(data_set.samples[2].mask_paths[0])[5:13, 4:11].all()


def test_coco_in_splits(tmp_path: Path, image: Write) -> None:
    for name in ("train/1.png", "test/1.png", "test/2.png"):
        image(tmp_path / "part" / name)
    coco(tmp_path / "part/train/_annotations.coco.json", ["1.png"], [])
    two = [{"image_id": 1, "category_id": 1, "segmentation": [FLAT]}]
    coco(tmp_path / "part/test/_annotations.coco.json", ["1.png", "2.png"], two)
    told = [(s.path.name, s.split, s.label) for s in read_data_set(tmp_path / "part").samples]
    assert told == [("1.png", "train", 0), ("1.png", "test", 0), ("2.png", "test", 1)]


def test_run_lengths_as_numbers_and_packed(tmp_path: Path, image: Write) -> None:
    runs = [3, 4, 13, 5, 575]  # down the columns of 20
    expected = np.zeros((20, 30), np.uint8)
    expected[3:7, 0] = expected[0:5, 1] = 255
    image(tmp_path / "part" / "1.png")
    for counts in (runs, packed(runs)):
        segmentation = {"counts": counts, "size": [20, 30]}
        one = [{"image_id": 0, "category_id": 1, "segmentation": segmentation}]
        path = coco(tmp_path / "part" / "a.json", ["1.png"], one)
        np.testing.assert_array_equal(read_mask(path.with_name("a.json#0")), expected)
    one[0]["segmentation"] = {"counts": [1, 2], "size": [20, 30]}
    path = coco(tmp_path / "part" / "a.json", ["1.png"], one)
    with pytest.raises(ImageError, match="run lengths of 3 pixels"):
        read_mask(path.with_name("a.json#0"))


def packed(runs: list[int]) -> str:
    """As pycocotools packs them: differences to the last but one, five bits a character."""
    text = ""
    for place, run in enumerate(runs):
        value, more = run - (runs[place - 2] if place > 2 else 0), True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr((bits | (0x20 if more else 0)) + 48)
    return text


def test_other_json_is_no_mask(tmp_path: Path, image: Write) -> None:
    image(tmp_path / "part" / "good" / "1.png")
    for text in ("[1]", "{}", "{", '{"shapes": 3}'):
        (tmp_path / "part" / "good" / "1.json").write_text(text)
        assert len(read_data_set(tmp_path / "part").samples) == 1
    with pytest.raises(ImageError, match="holds no polygons"):
        read_mask(tmp_path / "part" / "good" / "1.json")
    labelme(tmp_path / "part" / "good" / "1.json", {"points": []})
    assert any("Export the file again" in t for t in read_data_set(tmp_path / "part").problems)
