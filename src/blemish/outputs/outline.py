"""Outlines of masks, and reductions that lose no small spot."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def block_max(array: NDArray[Scalar], size: tuple[int, int]) -> NDArray[Scalar]:
    """Reduce ``(H, W)`` to ``size`` (width, height), keeping the largest value of each block.

    Example:
        >>> import numpy as np
        >>> from blemish.outputs.outline import block_max
        >>> block_max(np.array([[0, 1, 0, 0], [0, 0, 0, 3]]), (2, 1)).tolist()
        [[1, 3]]
    """
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
    """Draw the edge of ``mask (h, w)`` into ``pixels (h, w, 3)``, with a dark rim outside.

    Example:
        >>> import numpy as np
        >>> from blemish.outputs.outline import draw_outline
        >>> pixels, mask = np.full((5, 5, 3), 90, np.uint8), np.zeros((5, 5), bool)
        >>> mask[1:4, 1:4] = True
        >>> draw_outline(pixels, mask, 1)
        >>> pixels[2, :, 0].tolist()
        [30, 255, 90, 255, 30]
    """
    inside = np.pad(mask, 1)  # a mask that reaches the border of the image ends there
    for _ in range(line):
        inside = ~_grow(~inside)
    inside = inside[1:-1, 1:-1]
    pixels[_grow(mask) & ~mask] //= 3
    pixels[mask & ~inside] = colour


def _grow(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``mask`` and its upper, lower, left and right neighbours. (h, w)"""
    grown: NDArray[np.bool_] = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown
