"""Detail crop: the places of a large picture that matter, at its own resolution.

A report holds pictures of some 400 pixels; a crack in one of 8,000 is gone there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.inspection.prediction import find_regions

#: Times that a picture is shrunk from which on there are close-ups, and how many at most.
_SHRUNK, MOST = 2.0, 2
#: Pixels of a close-up's side, and how many times what it shows is seen of the picture.
_SIDE, _AROUND = 224, 2.0

Box = tuple[int, int, int, int]


class CloseUp(NamedTuple):
    """A piece of a picture: its pixels ``(h, w, 3)``, as they are, and where it is from."""

    pixels: NDArray[np.uint8]
    label: str


def close_ups(
    image: NDArray[np.uint8],
    amap: NDArray[np.float32],
    marked: NDArray[np.bool_] | None,
    truth: NDArray[np.bool_] | None,
    *,
    side: int,
) -> list[CloseUp]:
    """The marked regions with the highest peaks of the map, then such defects beside them.

    Args:
        image: ``(H, W, 3)`` uint8, the source picture.
        amap: ``(H, W)``, its anomaly map.
        marked: ``(H, W)``, what the model marks.
        truth: ``(H, W)``, what is defective.
        side: Pixels of the longer side as the report shows it whole.

    Example:
        >>> import numpy as np
        >>> from blemish.report.close_ups import close_ups
        >>> image, marked = np.zeros((2000, 1000, 3), np.uint8), np.zeros((2000, 1000), bool)
        >>> marked[1500:1504, 500:503] = True
        >>> [found] = close_ups(image, marked.astype("f4"), marked, None, side=384)
        >>> found.pixels.shape, found.label
        ((224, 224, 3), 'at 501, 1502')
    """
    boxes: list[Box] = []
    if max(image.shape) < _SHRUNK * side:
        return []
    for mask in (marked, truth):
        left = None if mask is None else mask.copy()
        while left is not None and len(boxes) < MOST:
            for x, y, x_end, y_end in boxes:
                left[y:y_end, x:x_end] = False
            found = find_regions(left, amap, max_regions=1)
            if not found:
                break
            boxes.append(_window(found[0].box, image.shape))
    return [_close_up(image, box) for box in boxes]


def _window(box: Box, shape: tuple[int, ...]) -> Box:
    """A square around a box, as far as the picture reaches."""
    left, top, right, bottom = box
    side = max(_SIDE, round(_AROUND * max(right - left, bottom - top)))
    ends = []
    for first, last, whole in ((left, right, shape[1]), (top, bottom, shape[0])):
        length = min(side, whole)
        start = min(max(0, (first + last - length) // 2), whole - length)
        ends.append((start, start + length))
    (x, x_end), (y, y_end) = ends
    return x, y, x_end, y_end


def _close_up(image: NDArray[np.uint8], box: Box) -> CloseUp:
    left, top, right, bottom = box
    piece = Image.fromarray(image[top:bottom, left:right])
    label = f"at {(left + right) // 2}, {(top + bottom) // 2}"
    scale = _SIDE / max(piece.size)
    if scale < 1:
        piece.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        label += f", {100 * scale:.0f} %"
    return CloseUp(np.asarray(piece), label)
