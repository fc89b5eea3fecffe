"""Region files: what each kind marks, and one sentence for each that cannot be meant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.roi import RegionOfInterest
from blemish.data.images.roi_source import Areas, areas_by_product, region_of_interest
from blemish.errors import BlemishError, ConfigError, ImageError

INSIDE = np.zeros((20, 30), bool)
INSIDE[5:15, 10:25] = True


def write(path: Path, content: object) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def ours(**sides: object) -> dict[str, object]:
    return {"width": 30, "height": 20, **sides}


def labelme(*shapes: tuple[str, list[list[float]]]) -> dict[str, object]:
    return {
        "imageWidth": 30,
        "imageHeight": 20,
        "shapes": [
            {"label": label, "points": points, "shape_type": "rectangle"}
            for label, points in shapes
        ],
    }


def mask_of(look: Areas = None, ignore: Areas = None) -> np.ndarray:
    mask = region_of_interest(look, ignore).looked_at((20, 30), "")
    assert mask is not None
    return mask


RECTANGLE = {"rectangle": [10, 5, 25, 15]}
CORNERS = [[10, 5], [24, 14]]


def test_all_kinds_of_file_mark_the_same(tmp_path: Path) -> None:
    Image.fromarray(INSIDE).save(tmp_path / "mask.png")
    assert (mask_of(str(tmp_path / "mask.png")) == INSIDE).all()
    assert (mask_of(write(tmp_path / "o.json", ours(look=[RECTANGLE]))) == INSIDE).all()
    polygon = {"polygon": [[10, 5], [24, 5], [24, 14], [10, 14]]}
    assert (mask_of(write(tmp_path / "p.json", ours(look=[polygon]))) == INSIDE).all()
    assert (mask_of(write(tmp_path / "l.json", labelme(("part", CORNERS)))) == INSIDE).all()
    assert (mask_of(INSIDE.astype(np.uint8)) == INSIDE).all()


def test_what_is_ignored_is_taken_out(tmp_path: Path) -> None:
    Image.fromarray(INSIDE).save(tmp_path / "mask.png")
    assert (mask_of(ignore=tmp_path / "mask.png") == ~INSIDE).all()
    assert (mask_of(write(tmp_path / "o.json", ours(ignore=[RECTANGLE]))) == ~INSIDE).all()
    both = write(tmp_path / "l.json", labelme(("ignore", CORNERS)))
    assert (mask_of(both) == ~INSIDE).all()  # its own label says so
    assert (mask_of(ignore=both) == ~INSIDE).all()
    every = labelme(("part", [[0, 0], [29, 19]]), ("Ignore", CORNERS))
    assert (mask_of(write(tmp_path / "b.json", every)) == ~INSIDE).all()
    left = np.zeros_like(INSIDE)
    left[:, :15] = True
    assert (mask_of(INSIDE, left) == (INSIDE & ~left)).all()


def test_one_of_a_product_stands_in_for_that_of_all() -> None:
    roi = region_of_interest({"": INSIDE, "nut": ~INSIDE}, {"bolt": INSIDE[:, ::-1]})
    assert (roi.looked_at((20, 30), "nut") == ~INSIDE).all()
    assert (roi.looked_at((20, 30), "washer") == INSIDE).all()
    assert (roi.looked_at((20, 30), "bolt") == (INSIDE & ~INSIDE[:, ::-1])).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (ours(look=[]), "is an empty region: it marks no pixel that is looked at"),
        (ours(look=[{"rectangle": [40, 5, 50, 15]}]), "is an empty region"),
        (ours(ignore=[{"rectangle": [0, 0, 30, 20]}]), "every pixel is ignored"),
        (ours(look=[RECTANGLE], ignore=[RECTANGLE]), "every pixel is ignored"),
        (labelme(), "is an empty region"),
        (ours(), "has neither look nor ignore"),
        (ours(look=[{"rectangle": [10, 5, 10, 15]}]), "has no inside"),
        (ours(look=[{"rectangle": [10, 5, 25]}]), "look cannot be read"),
        (ours(look=[{"circle": [10, 5, 25]}]), "look cannot be read"),
        (ours(look=[{"polygon": [[1, 2], [3, 4]]}]), "look cannot be read"),
        (ours(look=[{"polygon": [["a", 2], [3, 4], [5, 6]]}]), "look cannot be read"),
        (ours(look=7), "look cannot be read"),
        ({"width": 0, "height": 20, "look": [RECTANGLE]}, "for pictures of 20×0 pixels"),
        ({"width": 10**6, "height": 10**6, "look": [RECTANGLE]}, "at most 200,000,000"),
        ({"width": 30, "height": 20, "lok": []}, "found width, height, lok. Expected width"),
        ([1, 2], "found no table"),
        ("{", "is no JSON file"),
        ({"shapes": [{"points": CORNERS}], "imageWidth": 30, "imageHeight": 20}, "'label'"),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_sentence(
    tmp_path: Path, content: object, said: str
) -> None:
    with pytest.raises(BlemishError) as caught:
        region_of_interest(write(tmp_path / "roi.json", content))
    assert said in str(caught.value)
    assert "roi.json" in str(caught.value)


def test_files_that_are_no_masks_are_refused(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (20, 30), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "black.png")
    with pytest.raises(BlemishError, match="is no mask: it has"):
        region_of_interest(tmp_path / "photo.png")
    with pytest.raises(BlemishError, match="is an empty region"):
        region_of_interest(ignore=tmp_path / "black.png")
    with pytest.raises(ImageError, match="nowhere"):
        region_of_interest(tmp_path / "nowhere.json")
    with pytest.raises(BlemishError, match=r"20×30 .* for 10×30"):
        region_of_interest(INSIDE[:10], INSIDE)
    with pytest.raises(BlemishError, match="says itself what is looked at"):
        region_of_interest(ignore=write(tmp_path / "o.json", ours(look=[RECTANGLE])))
    with pytest.raises(BlemishError, match=r"shape \(20,\)"):
        region_of_interest(INSIDE[:, 0])
    with pytest.raises(ConfigError, match="No region of interest was given"):
        region_of_interest()
    with pytest.raises(ConfigError, match=r"--roi names two files, a.png and b.png, for nut"):
        areas_by_product(["nut=a.png", "nut=b.png"], "--roi")


def test_a_picture_without_any_of_it_is_refused() -> None:
    dot = np.zeros((400, 400), bool)
    dot[3, 3] = True
    with pytest.raises(ImageError, match=r"tiny has 4×4 pixels .* none of them"):
        RegionOfInterest.of({"": dot}).looked_at((4, 4), "", name="tiny")


def test_it_goes_through_the_model_file_and_damage_is_told() -> None:
    preprocessing = Preprocessing(32, 64, roi=RegionOfInterest.of({"nut": INSIDE, "": ~INSIDE}))
    values = json.loads(json.dumps(preprocessing.to_json()))
    assert Preprocessing.from_json(values) == preprocessing
    for damaged in ({}, {"": "x"}, {"": values["roi"][""][:40]}, 7):
        with pytest.raises(ConfigError, match="The region of interest is damaged"):
            Preprocessing.from_json({**values, "roi": damaged})
