"""Heat map: anomaly maps as colours on one fixed scale, and outlines of masks, at any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.errors import ConfigError, DataError

Scalar = TypeVar("Scalar", bound=np.generic)

# Deep violet to pale yellow, through red and orange: lightness rises steadily, so that the order
# survives grey printing and colour blindness. After matplotlib's "inferno" (CC0) without its
# black end, which would look like a shadow on the part.
_ANCHORS = bytes.fromhex("310a5c 57106e 7f1e6c a52c60 cb4149 e75f2c f88612 fbb41a f6e153 fcffa4")
# Below the first share of the scale the picture stays untouched; from the second on, the colour has
# its full opacity. The peaks of good images reach at most about 50 %.
_FADE = (0.15, 0.55)


@cache
def heat_colours() -> NDArray[np.uint8]:
    """The colour table, from 0 % to 100 % of the scale: ``(256, 3)`` uint8 RGB, read-only."""
    anchors = np.frombuffer(_ANCHORS, np.uint8).reshape(-1, 3).astype(np.float64)  # (A, 3)
    at = np.linspace(0, len(anchors) - 1, 256)
    table = np.stack([np.interp(at, range(len(anchors)), c) for c in anchors.T], axis=1)
    colours: NDArray[np.uint8] = np.rint(table).astype(np.uint8)  # (256, 3)
    colours.setflags(write=False)
    return colours


def heat_opacity(opacity: float) -> NDArray[np.float32]:
    """Opacity at each of the 256 steps of the scale: ``(256,)`` float32 in [0, ``opacity``]."""
    start, full = _FADE
    t = np.clip((np.linspace(0, 1, 256) - start) / (full - start), 0, 1)
    smooth = t * t * (3 - 2 * t)  # no visible edge where the colour begins
    return np.asarray(opacity * smooth, np.float32)


def heat_steps(anomaly_map: NDArray[np.float32], scale: tuple[float, float]) -> NDArray[np.uint8]:
    """Each map value ``(H, W)`` as one of the 256 steps of the scale, uint8; held at its ends.

    A value that is not a number counts as 100 %: it must not look like a good part.
    """
    low, high = scale
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(
            f"The colour scale is ({low}, {high}); it must be two finite map values, the lower one "
            "first. Calibration.limits(product).map_scale gives one."
        )
    share = (anomaly_map - np.float32(low)) * np.float32(1 / (high - low))  # (H, W)
    steps = np.nan_to_num(np.clip(share, 0, 1), nan=1.0, copy=False) * 255
    return np.asarray(np.rint(steps), np.uint8)


def blend_heat(
    image: NDArray[np.uint8],
    anomaly_map: NDArray[np.float32],
    *,
    scale: tuple[float, float],
    opacity: float = 0.6,
) -> NDArray[np.uint8]:
    """The image ``(H, W, 3)`` uint8 RGB with its raw anomaly map ``(H, W)`` laid over in colour.

    ``scale`` holds the map values at 0 % and 100 % of the colours, ``opacity`` in [0, 1] is that
    of the hot end.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(
            f"The image is {image.shape} {image.dtype}; (height, width, 3) uint8 needed."
        )
    if anomaly_map.shape != image.shape[:2]:
        raise DataError(
            f"The anomaly map has shape {anomaly_map.shape}, the image {image.shape[:2]}: the map "
            "of a prediction has the size of its source image. Was it made from another image?"
        )
    if not 0 <= opacity <= 1:
        raise ConfigError(f"The opacity is {opacity}; it must be between 0 and 1.")
    steps = heat_steps(anomaly_map, scale)  # (H, W)
    alpha = np.rint(heat_opacity(opacity) * 256).astype(np.uint16)  # (256,)
    a = alpha[steps][..., None]  # (H, W, 1)
    # Whole numbers keep a 12-megapixel image within a second and a few bytes per pixel.
    colour = heat_colours()[steps].astype(np.uint16)  # (H, W, 3)
    return ((image * (256 - a) + colour * a + 128) >> 8).astype(np.uint8)


def resize_together(
    image: NDArray[np.uint8],
    anomaly_map: NDArray[np.float32],
    masks: Sequence[NDArray[np.bool_] | None],
    size: tuple[int, int],
    reduce_by: Image.Resampling,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], list[NDArray[np.bool_] | None]]:
    """An image, its map and its masks at a smaller size, or one larger by a whole factor.

    The hottest pixel of each block survives: a small defect stays visible. ``size`` is (width,
    height); enlarged images keep their pixels as they are.
    """
    factor = min(size[0] // image.shape[1], size[1] // image.shape[0])
    if factor == 0:
        return (
            np.array(Image.fromarray(image).resize(size, reduce_by)),
            block_max(anomaly_map, size),
            [None if mask is None else block_max(mask, size) for mask in masks],
        )
    # Mode "F" interpolates the raw values without rounding them.
    raw = Image.fromarray(np.asarray(anomaly_map, np.float32))
    return (
        image.repeat(factor, 0).repeat(factor, 1),
        np.asarray(raw.resize(size, Image.Resampling.BILINEAR)),
        [None if m is None else m.repeat(factor, 0).repeat(factor, 1) for m in masks],
    )


def block_max(array: NDArray[Scalar], size: tuple[int, int]) -> NDArray[Scalar]:
    """Reduce ``(H, W)`` to ``size`` (width, height), keeping the largest value of each block."""
    for axis, (new, old) in enumerate(zip(size[::-1], array.shape, strict=True)):
        array = np.maximum.reduceat(array, np.arange(new) * old // new, axis=axis)
    return array


def draw_outline(
    pixels: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    line: int,
    *,
    colour: tuple[int, int, int] = (255, 255, 255),
) -> None:
    """Draw the edge of ``mask (h, w)`` into ``pixels (h, w, 3)``, with a dark rim outside."""
    inside = np.pad(mask, 1)  # a mask that reaches the border of the image ends there
    for _ in range(line):
        inside = ~_grow(~inside)
    inside = inside[1:-1, 1:-1]
    pixels[_grow(mask) & ~mask] //= 3
    pixels[mask & ~inside] = colour


def dim_ignored(
    pixels: NDArray[np.uint8], image: NDArray[np.uint8], roi: NDArray[np.bool_]
) -> None:
    """Show what ``roi (h, w)`` leaves out as in ``image (h, w, 3)``, dark and without colours."""
    pixels[~roi] = image[~roi] // 3


def _grow(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``mask`` and its upper, lower, left and right neighbours. (h, w)"""
    grown: NDArray[np.bool_] = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown
