"""Seeded random fields: the irregularity that real material has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]


def resize(field: NDArray[Any], shape: tuple[int, int]) -> Field:
    """``field`` interpolated to ``shape`` (bicubic)."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    enlarged = image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(enlarged, dtype=np.float32)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: tuple[float, float]
) -> Field:
    """Zero-mean noise of about unit deviation.

    Args:
        rng: Source of randomness.
        shape: Height and width of the result.
        cells: Number of independent values down and across; fewer is smoother.

    Returns:
        A field of ``shape``, float32.

    Example:
        >>> import numpy as np
        >>> from blemish.demo_line.noise import smooth_noise
        >>> smooth_noise(np.random.default_rng(0), (8, 12), (2, 3)).shape
        (8, 12)
    """
    rows = max(2, min(shape[0], round(cells[0])))
    columns = max(2, min(shape[1], round(cells[1])))
    return resize(rng.standard_normal((rows, columns), dtype=np.float32), shape)


def wobble(rng: np.random.Generator, angle: Field, amount: float, *, lobes: int = 11) -> Field:
    """A radius factor around 1 that makes a circle irregular, as a function of the polar angle."""
    factor = np.ones_like(angle)
    for k in range(2, 2 + lobes):
        strength = amount * float(rng.normal()) * 2 / k**1.5
        factor += np.float32(strength) * np.cos(k * angle + np.float32(rng.uniform(0, 6.2832)))
    return np.clip(factor, 0.45, 1.6)


def curve(
    rng: np.random.Generator,
    start: tuple[float, float],
    angle: float,
    length: float,
    *,
    bend: float,
    points: int = 12,
) -> NDArray[np.float64]:
    """A wandering line as ``(points, 2)`` x, y: it starts at ``start`` and turns by ``bend`` rad
    (one standard deviation) over its length."""
    turns = rng.normal(0.0, bend / np.sqrt(points), points - 1).cumsum()
    heading = angle + turns
    step = length / (points - 1)
    steps = step * np.stack([np.cos(heading), np.sin(heading)], axis=1)  # (P-1, 2)
    line: NDArray[np.float64] = np.concatenate([np.zeros((1, 2)), steps.cumsum(0)])
    line += np.asarray(start)
    return line
