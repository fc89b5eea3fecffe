"""Synthetic anomalies, planted into good images: validation material without a real defect.

Settings are chosen, leakage is diagnosed and the contract of every method is tested with these,
never with test images. They are not a model of real defects: figures on them say which of two
settings is better, not how well a system finds what a line produces.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from blemish._names import unknown_name_message
from blemish.errors import ConfigError

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def _blob(shape: tuple[int, int], rng: np.random.Generator, share: float) -> Mask:
    """A smooth irregular area covering about ``share`` of the image, somewhere near the middle."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    centre = (rng.uniform(0.3, 0.7) * height, rng.uniform(0.3, 0.7) * width)
    angle = np.arctan2(y - centre[0], x - centre[1])
    wobble = sum(
        rng.uniform(0, 0.25) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (1, 2, 3, 5)
    )
    radius = np.sqrt(share * height * width / np.pi) * (1 + wobble)
    squeeze = rng.uniform(0.6, 1.6)
    return np.hypot((y - centre[0]) * squeeze, (x - centre[1]) / squeeze) < radius


def blend(image: Pixels, other: NDArray, mask: Mask, strength: float = 1.0) -> Pixels:
    """``other`` inside the mask, with an edge softened over about two pixels."""
    soft = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(1))
    weight = strength * np.asarray(soft, np.float32)[..., None] / 255
    mixed = image * (1 - weight) + np.asarray(other, np.float32) * weight
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _stain(image: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    mask = _blob(image.shape[:2], rng, rng.uniform(0.003, 0.02))
    shift = rng.uniform(25, 70) * rng.choice((-1, 1)) * rng.uniform(0.5, 1.0, 3)
    return blend(image, image + shift, mask), mask


def _scratch(image: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    height, width = image.shape[:2]
    start = rng.uniform(0.25, 0.75, 2) * (width, height)
    heading = rng.uniform(0, 2 * np.pi)
    points = [tuple(start)]
    for _ in range(6):
        heading += rng.normal(0, 0.3)
        start = start + np.array([np.cos(heading), np.sin(heading)]) * min(image.shape[:2]) * 0.04
        points.append(tuple(start))
    drawn = Image.new("L", (width, height))
    thick = max(2, round(min(height, width) * rng.uniform(0.006, 0.014)))
    ImageDraw.Draw(drawn).line(points, fill=255, width=thick, joint="curve")
    mask = np.asarray(drawn) > 0
    shift = rng.uniform(35, 90) * rng.choice((-1, 1))
    return blend(image, image + shift, mask), mask


def _displaced(image: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """Content of another place of the same image (cut and paste)."""
    mask = _blob(image.shape[:2], rng, rng.uniform(0.004, 0.02))
    height, width = image.shape[:2]
    moved = np.roll(
        image,
        (round(height * rng.uniform(0.2, 0.4)), round(width * rng.uniform(0.2, 0.4))),
        axis=(0, 1),
    )
    return blend(image, moved, mask), mask


def _erased(image: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """Structure wiped out: the colour stays, the detail goes."""
    mask = _blob(image.shape[:2], rng, rng.uniform(0.006, 0.025))
    radius = min(image.shape[:2]) / 16
    smooth = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))
    return blend(image, smooth, mask), mask


def _rough(image: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """Coarse random texture."""
    mask = _blob(image.shape[:2], rng, rng.uniform(0.004, 0.02))
    height, width = image.shape[:2]
    grain = rng.normal(0, rng.uniform(20, 45), (height // 4 + 1, width // 4 + 1)).astype("f4")
    texture = np.asarray(Image.fromarray(grain).resize((width, height), Image.Resampling.BICUBIC))
    return blend(image, image + texture[..., None], mask), mask


#: The kinds of planted anomaly by name.
KINDS: dict[str, Callable[[Pixels, np.random.Generator], tuple[Pixels, Mask]]] = {
    "stain": _stain,
    "scratch": _scratch,
    "displaced": _displaced,
    "erased": _erased,
    "rough": _rough,
}


def plant_anomaly(
    image: Pixels, rng: np.random.Generator, *, kind: str | None = None
) -> tuple[Pixels, Mask]:
    """Plant one anomaly into a good image.

    Args:
        image: ``(H, W, 3)`` uint8; not changed.
        rng: Source of every random choice.
        kind: A name of :data:`KINDS`; ``None`` draws one.

    Returns:
        The changed image ``(H, W, 3)`` and the mask ``(H, W)`` of what was touched, beyond which
        the soft edge reaches a few pixels.

    Example:
        >>> import numpy as np
        >>> from blemish.data.planted import plant_anomaly
        >>> good = np.full((64, 64, 3), 128, np.uint8)
        >>> bad, mask = plant_anomaly(good, np.random.default_rng(0), kind="stain")
        >>> bool((bad != good).any(-1)[mask].any())
        True
    """
    chosen = kind if kind is not None else str(rng.choice(list(KINDS)))
    if chosen not in KINDS:
        raise ConfigError(unknown_name_message("kind of planted anomaly", chosen, KINDS))
    return KINDS[chosen](image, rng)


def plant_spot(image: Pixels, rng: np.random.Generator, diameter: int) -> tuple[Pixels, Mask]:
    """Plant a spot of a true size: what a defect of so many pixels is to a model that scales down.

    Args:
        image: ``(H, W, 3)`` uint8, larger than the spot; not changed.
        rng: Source of place, shape and brightness.
        diameter: Pixels across, about.

    Returns:
        As :func:`plant_anomaly`.

    Example:
        >>> import numpy as np
        >>> from blemish.data.planted import plant_spot
        >>> good = np.full((64, 96, 3), 128, np.uint8)
        >>> bad, mask = plant_spot(good, np.random.default_rng(0), 8)
        >>> bool(20 < mask.sum() < 110)
        True
    """
    height, width = image.shape[:2]
    share = np.pi * (diameter / 2) ** 2 / (height * width)
    mask = _blob((height, width), rng, share)
    shift = rng.uniform(35, 90) * rng.choice((-1, 1))
    return blend(image, image + shift, mask), mask
