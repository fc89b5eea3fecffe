"""Appearance: brightness, sharpness and colour of a picture, by which lamp and lens are watched.

Anomaly scores tell of a lamp that fades only where the network minds; these do at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Rows and columns that are looked at: enough for a mean, and a fraction of a millisecond's work.
_LINES = 128


class Appearance(NamedTuple):
    """How a picture looks.

    Attributes:
        brightness: Mean grey value, 0 to 255.
        sharpness: Mean second difference of neighbours by the mean first one: above 1 where edges
            are a pixel wide, less where they are blurred. A lamp does not change it.
        colour: Red less blue by the sum of all three: rises where light turns yellow.

    Example:
        >>> import numpy as np
        >>> from blemish.data.images.appearance import appearance
        >>> noise = np.random.default_rng(0).integers(0, 99, (64, 64, 1), np.uint8)
        >>> look = appearance(np.repeat(noise, 3, axis=2))
        >>> look.sharpness > 1.2 and look.colour == 0
        True
    """

    brightness: float
    sharpness: float
    colour: float


def appearance(pixels: NDArray[np.uint8]) -> Appearance:
    """Of ``(H, W, 3)`` uint8, by every so many rows and columns."""
    down, right = (-(-length // _LINES) for length in pixels.shape[:2])
    means = pixels[::down, ::right].reshape(-1, 3).mean(axis=0)  # (3,)
    first = second = 0.0
    for lines in (pixels[::down, :, 1], pixels[:, ::right, 1].T):
        steps = np.diff(lines.astype(np.int16), axis=1)
        if steps.shape[1] > 1:
            first += float(np.abs(steps).mean())
            second += float(np.abs(np.diff(steps, axis=1)).mean())
    total = float(means.sum())
    return Appearance(
        brightness=total / 3,
        sharpness=second / first if first else 0.0,
        colour=float(means[0] - means[2]) / total if total else 0.0,
    )
