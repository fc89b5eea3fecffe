from __future__ import annotations

import math

import numpy as np
import pytest

from blemish.errors import ConfigError, DataError
from blemish.outputs.heat import blend_heat, heat_colours, heat_opacity, heat_steps


def test_lightness_rises_steadily_along_the_scale() -> None:
    luma = heat_colours().astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luma) > -1.0).all()  # within the rounding to whole colour values
    assert luma[-1] - luma[0] > 150
    with pytest.raises(ValueError, match="read-only"):
        heat_colours()[0] = 0


def test_steps_are_fixed_to_the_scale_and_not_to_the_image() -> None:
    amap = np.array([[-1, 0, 5, 10, 99, np.nan, np.inf, -np.inf]], np.float32)
    assert heat_steps(amap, (0.0, 10.0)).tolist() == [[0, 0, 128, 255, 255, 255, 255, 0]]
    assert heat_steps(amap[:, :3], (0.0, 10.0)).tolist() == [[0, 0, 128]]


def test_steps_leave_the_map_as_it_was() -> None:
    amap = np.array([[0.5, np.nan]], np.float32)
    heat_steps(amap, (0.0, 1.0))
    assert amap[0, 0] == 0.5
    assert math.isnan(amap[0, 1])


def test_cool_pixels_stay_untouched_and_hot_ones_take_the_colour() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    amap = np.zeros((4, 4), np.float32)
    amap[0, 0], amap[1, 1] = 1.0, 0.1
    out = blend_heat(image, amap, scale=(0.0, 1.0), opacity=0.5)
    expected = (image[0, 0].astype(int) + heat_colours()[255]) / 2
    assert np.abs(out[0, 0] - expected).max() <= 1
    unchanged = np.ones((4, 4), bool)
    unchanged[0, 0] = False
    assert (out[unchanged] == image[unchanged]).all()


def test_opacity_goes_from_nothing_to_all() -> None:
    assert heat_opacity(1.0)[-1] == 1.0
    assert (np.diff(heat_opacity(0.7)) >= 0).all()
    white = np.full((2, 2, 3), 255, np.uint8)
    hot = np.ones((2, 2), np.float32)
    full = blend_heat(white, hot, scale=(0.0, 1.0), opacity=1.0)
    assert (full == heat_colours()[255]).all()  # and no overflow on white
    assert (blend_heat(white, hot, scale=(0.0, 1.0), opacity=0.0) == 255).all()


@pytest.mark.parametrize("scale", [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.inf)])
def test_a_scale_that_does_not_ascend_is_refused(scale: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="lower one first"):
        heat_steps(np.zeros((2, 2), np.float32), scale)


def test_what_does_not_fit_together_is_refused() -> None:
    amap = np.zeros((4, 5), np.float32)
    with pytest.raises(DataError, match=r"shape \(4, 5\), the image \(5, 4\)"):
        blend_heat(np.zeros((5, 4, 3), np.uint8), amap, scale=(0, 1))
    with pytest.raises(DataError, match="uint8 needed"):
        blend_heat(np.zeros((4, 5, 3), np.float32), amap, scale=(0, 1))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        blend_heat(np.zeros((4, 5, 3), np.uint8), amap, scale=(0, 1), opacity=1.5)
