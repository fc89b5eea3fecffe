from __future__ import annotations

import numpy as np
import pytest

from blemish.data.images.preprocess import composite_on_black, full_scale, to_rgb
from blemish.errors import ConfigError, DataError


def test_rgb_uint8_passes_through_untouched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert to_rgb(image) is image


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
def test_grey_is_repeated(shape: tuple[int, ...]) -> None:
    grey = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    rgb = to_rgb(grey)
    assert rgb.shape == (5, 7, 3)
    assert rgb.flags.c_contiguous
    for channel in range(3):
        np.testing.assert_array_equal(rgb[..., channel], grey.reshape(5, 7))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_sixteen_bit_is_full_scale_linear_and_clipped(bits: int) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = [min(255, round(int(v) / (2**bits - 1) * 255)) for v in values.ravel()]
    np.testing.assert_array_equal(full_scale(values, bits).ravel(), expected)
    np.testing.assert_array_equal(to_rgb(values, bit_depth=bits)[..., 0].ravel(), expected)


def test_sixteen_bit_does_not_depend_on_the_image() -> None:
    dark = np.full((2, 2), 1000, np.uint16)
    mixed = np.array([[1000, 65535]], np.uint16)
    assert to_rgb(dark)[0, 0, 0] == to_rgb(mixed)[0, 0, 0]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_in_the_unit_interval(kind: type) -> None:
    assert to_rgb(np.array([[0.0, 0.5, 1.0]], kind))[0, :, 0].tolist() == [0, 128, 255]


def test_alpha_is_composited_on_black_exactly() -> None:
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    rgba = np.stack([colour, colour, colour, alpha], axis=2).astype(np.uint8)
    expected = np.rint(colour * alpha / 255)
    np.testing.assert_array_equal(composite_on_black(rgba)[..., 1], expected)
    np.testing.assert_array_equal(to_rgb(rgba)[..., 2], expected)


def test_an_image_that_is_all_transparent_is_refused() -> None:
    with pytest.raises(DataError, match="alpha channel is 0 everywhere"):
        to_rgb(np.full((2, 2, 4), [9, 9, 9, 0], np.uint8))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"\(C, H, W\)"),
        (np.zeros((2, 8, 9, 3), np.uint8), "batch"),
        (np.zeros((8, 9, 2), np.uint8), r"found shape \(8, 9, 2\)"),
        (np.zeros(8, np.uint8), r"found shape \(8,\)"),
        (np.zeros((0, 9, 3), np.uint8), "without pixels"),
        (np.zeros((4, 4), np.int64), "found int64"),
        (np.zeros((4, 4), bool), "found bool"),
        (np.full((4, 4), 200.0), "from 200 to 200"),
        (np.full((4, 4), -0.1), "-0.1"),
        (np.full((4, 4), np.nan), "nan"),
        ([[0, 1]], "found list"),
    ],
)
def test_anything_else_is_refused(array: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        to_rgb(array)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [0, 7, 17, 12.0, True])
def test_bit_depth_is_checked(bits: object) -> None:
    with pytest.raises(ConfigError, match="bit_depth"):
        to_rgb(np.zeros((2, 2), np.uint8), bit_depth=bits)  # type: ignore[arg-type]
