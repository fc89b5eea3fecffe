"""Crop to the part: it is found before an even background, or it is said that it was not."""

from __future__ import annotations

import numpy as np
import pytest

from blemish.data.images.crop import PartCrop, find_part
from blemish.data.images.preprocess import Preprocessing
from blemish.errors import ConfigError

pytest.importorskip("cv2")


def scene(top: int = 30, left: int = 50, *, seed: int = 0) -> np.ndarray:
    """A bright field with a dark part of 40 × 60 and a speck beside it, ``(120, 200, 3)``."""
    picture = np.full((120, 200, 3), 200, np.float64)
    picture[top : top + 40, left : left + 60] = (60, 80, 150)
    picture[100:104, 180:184] = 0
    return (picture + np.random.default_rng(seed).normal(0, 3, picture.shape)).astype(np.uint8)


@pytest.mark.parametrize(("top", "left"), [(30, 50), (5, 8), (75, 130)])
def test_the_largest_thing_that_stands_out_is_the_part(top: int, left: int) -> None:
    part = find_part(scene(top, left))
    assert part.found
    pixels = [part.top * 120, part.left * 200, part.bottom * 120, part.right * 200]
    np.testing.assert_allclose(pixels, [top, left, top + 40, left + 60], atol=2.5)


def test_without_an_even_background_or_a_part_nothing_is_found() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 200, 3)).astype(np.uint8)
    empty = scene()
    empty[:] = 200
    slope = np.broadcast_to(np.linspace(0, 255, 200)[None, :, None], (120, 200, 3))
    for picture in (noise, empty, slope.astype(np.uint8)):
        assert not find_part(picture).found


def test_the_frame_follows_the_part_and_stays_in_the_picture() -> None:
    crop = PartCrop(0.5, 0.4, (("", None),))
    (top, left, height, width), fault = crop.place(scene(70, 130), "")
    assert not fault
    assert (height, width) == crop.frame((120, 200)) == (60, 80)
    assert (top, left) == (60, 120)
    _, fault = crop.place(np.full((120, 200, 3), 90, np.uint8), "")
    assert fault.startswith("Its part was not found")
    _, fault = PartCrop(0.2, 0.4, (("", None),)).place(scene(), "")
    assert fault.startswith("Its part does not fit the frame")


def test_a_map_comes_back_where_the_frame_was() -> None:
    prepare = Preprocessing(64, 96, crop=PartCrop(0.5, 0.4, (("", None),)))
    prepared = prepare.prepare(scene(10, 100))
    assert prepared.pose is not None
    assert prepared.pose.box is not None
    assert prepare.map_to_source(np.ones((64, 96), np.float32), (60, 80)).shape == (60, 80)
    # What stands out at the input stands out there in the picture.
    assert prepared.pixels.mean(2).min() < 120


def test_what_is_no_crop_is_refused() -> None:
    crop = PartCrop(0.5, 0.4, (("nut", (0.5, 0.25)), ("cap", None)))
    prepare = Preprocessing(64, 64, crop=crop)
    assert Preprocessing.from_json(prepare.to_json()) == prepare
    for wrong in ({"height": 2}, {"middles": {}}, {"middles": {"nut": [0.5]}}, {"width": 0}):
        with pytest.raises(ConfigError, match=r"crop .* is not one this version knows"):
            PartCrop.from_json({**crop.to_json(), **wrong})
