from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blemish.data.images.preprocess import LARGEST_SIDE, Preprocessing, choose_input_size
from blemish.errors import ConfigError

sides = st.integers(1, 400)


@settings(max_examples=60, deadline=None)
@given(sides, sides)
def test_any_image_fits_whole_and_centred(height: int, width: int) -> None:
    prepare = Preprocessing(64, 96)
    top, left, h, w = prepare.placement((height, width))
    assert 1 <= h <= 64
    assert 1 <= w <= 96
    assert h == 64 or w == 96
    assert 0 <= (64 - h) - 2 * top <= 1
    assert 0 <= (96 - w) - 2 * left <= 1
    # The aspect ratio is kept to half a pixel of the shorter side.
    scale = min(64 / height, 96 / width)
    assert abs(h - height * scale) <= 1
    assert abs(w - width * scale) <= 1


@settings(max_examples=40, deadline=None)
@given(sides, sides)
def test_the_way_back_has_the_size_of_the_source(height: int, width: int) -> None:
    prepare = Preprocessing(64, 96)
    image = np.zeros((height, width, 3), np.uint8)
    assert prepare(image).shape == (64, 96, 3)
    back = prepare.map_to_source(np.ones((64, 96), np.float32), (height, width))
    assert back.shape == (height, width)
    assert back.dtype == np.float32
    assert np.allclose(back, 1)


def test_the_image_lies_on_grey_and_is_not_stretched() -> None:
    image = np.full((30, 60, 3), 200, np.uint8)
    prepared = Preprocessing(64, 64)(image)
    assert (prepared[16:48] == 200).all()
    assert (prepared[:16] == 127).all()
    assert (prepared[48:] == 127).all()


def test_an_image_of_the_right_size_is_not_touched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    assert np.array_equal(Preprocessing(64, 96)(image), image)


def test_shrinking_averages() -> None:
    """Without antialiasing a fine pattern would turn into an arbitrary flat colour."""
    fine = np.tile(np.array([0, 255], np.uint8), (512, 256))[..., None].repeat(
        3, 2
    )  # (512, 512, 3)
    prepared = Preprocessing(64, 64)(fine)
    assert abs(int(prepared[8:-8, 8:-8].mean()) - 127) <= 2
    assert prepared[8:-8, 8:-8].std() < 5


def test_a_spot_comes_back_where_it_was() -> None:
    prepare = Preprocessing(64, 64)
    source = (200, 120)
    image = np.zeros((*source, 3), np.uint8)
    image[150:170, 20:40] = 255
    seen = prepare(image)[..., 0].astype(np.float32) / 255
    seen[:, :5] = 7.0  # the field around the image must not leak in
    back = prepare.map_to_source(seen, source)
    inside = back[152:168, 22:38]
    assert inside.min() > 0.6
    far = back.copy()
    far[140:180, 10:50] = 0
    assert far.max() < 0.2


def test_it_survives_json() -> None:
    prepare = Preprocessing(64, 96, fill=(1, 2, 3), bit_depth=10)
    assert Preprocessing.from_json(prepare.to_json()) == prepare


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"height": 64, "width": 64, "fill": [0, 0, 0]},
        {"height": 64, "width": 64, "fill": [0, 0, 0], "bit_depth": 16, "crop": 1},
        {"height": "64", "width": 64, "fill": [0, 0, 0], "bit_depth": 16},
        {"height": True, "width": 64, "fill": [0, 0, 0], "bit_depth": 16},
        {"height": 64, "width": 64, "fill": [0, 0], "bit_depth": 16},
        {"height": 64, "width": 64, "fill": 0, "bit_depth": 16},
        {"height": 64, "width": 64, "fill": [0, 0, 0], "bit_depth": 3},
        {"height": 65, "width": 64, "fill": [0, 0, 0], "bit_depth": 16},
    ],
)
def test_foreign_json_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Preprocessing.from_json(wrong)


@pytest.mark.parametrize("side", [0, -32, 31, 100, LARGEST_SIDE + 32])
def test_impossible_sizes_are_refused(side: int) -> None:
    with pytest.raises(ConfigError, match="multiples of 32"):
        Preprocessing(64, side)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(256, 256)], (256, 256)),
        ([(1024, 1024)] * 3, (256, 256)),
        ([(800, 1600)] * 5, (192, 352)),
        ([(1600, 800)] * 5, (352, 192)),
        ([(480, 512)], (256, 256)),
        ([(800, 1600)] * 9 + [(1600, 800)], (256, 256)),
        ([(1, 10_000)], (32, 2048)),
        ([], (256, 256)),
    ],
)
def test_the_input_follows_the_shape_that_nearly_all_images_share(
    sizes: list[tuple[int, int]], expected: tuple[int, int]
) -> None:
    assert choose_input_size(sizes) == expected
