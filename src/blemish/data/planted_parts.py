"""Synthetic logical anomalies, planted into good images: parts swapped, missing or there twice.

Every pixel is of the image itself; only what is where is wrong, and every cut runs through
background. Nothing is known of the product: a part is a connected area that differs from what
surrounds it, of a large one a piece. As with :mod:`blemish.data.planted`, figures on them say which
of two settings is better, not how well a system finds what a line produces.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from blemish._names import unknown_name_message
from blemish.data.planted import Mask, Pixels, blend
from blemish.errors import ConfigError

_SMALL = 64  # side of the picture in which the background is estimated
_LEAST, _MOST = 0.0008, 0.04  # share of the picture that a part covers


class _Scene:
    """An image as background and parts."""

    def __init__(self, image: Pixels, rng: np.random.Generator) -> None:
        from scipy import ndimage

        self.image, self.rng = image, rng
        shape = image.shape[:2]
        small = Image.fromarray(image).resize((_SMALL, _SMALL), Image.Resampling.BOX)
        usual = small.filter(ImageFilter.MedianFilter(13)).filter(ImageFilter.GaussianBlur(2))
        surface = np.asarray(usual.resize(shape[::-1], Image.Resampling.BILINEAR), np.float32)
        apart = np.abs(image - surface).max(2)
        apart = ndimage.gaussian_filter(apart, 1)
        self.margin = max(1, round(min(shape) / 100))
        solid = ndimage.binary_closing(apart > _otsu(apart), iterations=self.margin)
        self.solid = ndimage.binary_opening(solid, iterations=1)
        labels = ndimage.label(self.solid)[0]
        self.parts: list[Mask] = []
        for label, box in enumerate(ndimage.find_objects(labels), 1):
            inside = labels[box] == label
            # Walls and frames are no parts: long, thin and around much else.
            if inside.sum() < max(_LEAST * self.solid.size, 0.15 * inside.size):
                continue
            part = np.zeros(shape, bool)
            part[box] = inside
            if inside.sum() > _MOST * self.solid.size:
                part = self._piece(part)
            self.parts.append(part)
        if not self.parts:  # nothing stands out: any place is as good as another
            self.parts = [self._piece(np.ones(shape, bool))]

    def _piece(self, part: Mask) -> Mask:
        """What of a large part a disc covers, somewhere on it."""
        rows, columns = np.nonzero(part)
        at = int(self.rng.integers(len(rows)))
        radius = min(part.shape) * self.rng.uniform(0.06, 0.1)
        y, x = np.ogrid[: part.shape[0], : part.shape[1]]
        piece: Mask = part & (np.hypot(y - rows[at], x - columns[at]) < radius)
        return piece

    def draw(self) -> Mask:
        return self.parts[int(self.rng.integers(len(self.parts)))]

    def wide(self, part: Mask) -> Mask:
        """A part with a margin, by which its shadow goes with it."""
        from scipy import ndimage

        found: Mask = ndimage.binary_dilation(part, iterations=self.margin)
        return found

    def without(self, image: Pixels, part: Mask) -> Pixels:
        """The image with what is around a part in its place."""
        from scipy import ndimage

        gone = self.wide(part)
        known = ~(gone | self.solid)
        if not known.any():
            known = ~gone
        filling = np.zeros(image.shape, np.float32)
        weight = np.zeros(image.shape[:2], np.float32)
        for sigma in (2, 4, 8, 16, 64):  # from near by, where something is known there
            share = 1e-3 ** np.log2(sigma)
            weight += share * ndimage.gaussian_filter(known.astype(np.float32), sigma)
            seen = image * known[..., None].astype(np.float32)
            filling += share * ndimage.gaussian_filter(seen, (sigma, sigma, 0))
        filling /= np.maximum(weight, 1e-20)[..., None]
        # The grain of another place, so that the filling is not smoother than the rest.
        down, across = (int(self.rng.integers(side)) for side in image.shape[:2])
        smooth = ndimage.uniform_filter(image.astype(np.float32), (5, 5, 1))
        rough = np.where(known[..., None], image - smooth, 0)
        return blend(image, filling + np.roll(rough, (down, across), (0, 1)), gone)

    def moved(self, image: Pixels, part: Mask, shift: tuple[int, int]) -> tuple[Pixels, Mask]:
        """The image with a part of the original once more, ``shift`` rows and columns away."""
        there = np.roll(self.wide(part), shift, (0, 1))
        return blend(image, np.roll(self.image, shift, (0, 1)), there), there


def _otsu(values: NDArray) -> float:
    """The threshold that best divides values in two kinds (Otsu, 1979)."""
    counts, edges = np.histogram(values, 128)
    middle = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    mean_below = np.cumsum(counts * middle) / np.maximum(below, 1)
    total = float((counts * middle).sum())
    mean_above = (total - np.cumsum(counts * middle)) / np.maximum(above, 1)
    return float(middle[np.argmax(below * above * (mean_below - mean_above) ** 2)])


def _centre(part: Mask) -> NDArray:
    rows, columns = np.nonzero(part)
    return np.array([(side.min() + side.max()) // 2 for side in (rows, columns)])


def _removed(image: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """Background where a part was."""
    scene = _Scene(image, rng)
    part = scene.draw()
    return scene.without(image, part), scene.wide(part)


def _swapped(image: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """Two parts in each other's place: of a few, those that look least alike."""
    scene = _Scene(image, rng)
    one = scene.draw()
    others = [scene.draw() for _ in range(6)]
    colour = image[one].mean(0)

    def unlike(part: Mask) -> float:
        size = abs(np.log(part.sum() / one.sum()))  # a large one would cover its neighbours
        return float(np.abs(image[part].mean(0) - colour).sum() / 100 - size)

    other = max(others, key=unlike)
    there = _centre(other) - _centre(one)
    changed = scene.without(scene.without(image, one), other)
    changed, first = scene.moved(changed, one, tuple(there))
    changed, second = scene.moved(changed, other, tuple(-there))
    return changed, first | second | scene.wide(one) | scene.wide(other)


def _doubled(image: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """A part once more, where there is background."""
    scene = _Scene(image, rng)
    part = scene.draw()
    height, width = part.shape
    wide = scene.wide(part)
    rows, columns = np.nonzero(wide)
    best, least = (0, 0), np.inf
    for _ in range(40):
        down = int(rng.integers(-rows.min(), height - rows.max()))
        across = int(rng.integers(-columns.min(), width - columns.max()))
        covered = int((np.roll(wide, (down, across), (0, 1)) & scene.solid).sum())
        if covered < least:
            best, least = (down, across), covered
    return scene.moved(image, part, best)


#: The kinds of planted logical anomaly by name.
LOGICAL_KINDS: dict[str, Callable[[Pixels, np.random.Generator], tuple[Pixels, Mask]]] = {
    "swapped": _swapped,
    "removed": _removed,
    "doubled": _doubled,
}


def plant_logical_anomaly(
    image: Pixels, rng: np.random.Generator, *, kind: str | None = None
) -> tuple[Pixels, Mask]:
    """Plant one logical anomaly into a good image: a part swapped, removed or doubled.

    Args:
        image: ``(H, W, 3)`` uint8, of 32 pixels a side at least; not changed.
        rng: Source of every random choice.
        kind: A name of :data:`LOGICAL_KINDS`; ``None`` draws one.

    Returns:
        The changed image ``(H, W, 3)`` and the mask ``(H, W)`` of what was touched, beyond which
        the soft edge reaches a few pixels.

    Raises:
        ConfigError: An unknown kind.

    Example:
        >>> import numpy as np
        >>> from blemish.data.planted_parts import plant_logical_anomaly
        >>> good = np.full((64, 64, 3), 128, np.uint8)
        >>> good[8:16, 8:16] = 250
        >>> bad, mask = plant_logical_anomaly(good, np.random.default_rng(0), kind="removed")
        >>> bool(good[12, 12, 0] > 200), bool(bad[12, 12, 0] > 200)
        (True, False)
    """
    chosen = kind if kind is not None else str(rng.choice(list(LOGICAL_KINDS)))
    if chosen not in LOGICAL_KINDS:
        raise ConfigError(
            unknown_name_message("kind of planted logical anomaly", chosen, LOGICAL_KINDS)
        )
    return LOGICAL_KINDS[chosen](image, rng)
