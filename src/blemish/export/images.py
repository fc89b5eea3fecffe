"""Compared images: those on which an exported model is held against the trained one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.reading import read_image
from blemish.data.planted import plant_anomaly
from blemish.data.sample import Sample
from blemish.data.sources import source_pixels
from blemish.errors import DataError, ImageError

#: More good images than this prove nothing more and only cost time.
MOST_IMAGES = 100
#: Synthetic pictures: heights and widths relative to the model's input, how many of each.
_SHAPES, _EACH = ((1.0, 1.0), (1.0, 1.25), (1.5, 1.25)), 4


def compared_samples(
    good: Sequence[Sample], preprocessing: Preprocessing, *, most: int = MOST_IMAGES
) -> tuple[list[Sample], str]:
    """Good images, each also with an anomaly planted, and what they are in words.

    Without planted anomalies all scores would lie where good ones do.

    Args:
        good: The user's; none: synthetic pictures and noise stand in for them.
        preprocessing: The model's.
        most: Of more images than this, as many are taken at even distances.

    Raises:
        DataError: None of the images can be read.
    """
    depth = preprocessing.bit_depth
    rows = np.linspace(0, len(good) - 1, min(most, len(good))).round().astype(int)
    base = good and _readable([good[row] for row in rows], depth)
    if good and not base:
        raise DataError("None of the images for the comparison can be read.")
    base = base or _synthetic(preprocessing)
    planted = []
    for number, sample in enumerate(base):
        pixels = source_pixels(sample, bit_depth=depth)
        image, _ = plant_anomaly(pixels, np.random.default_rng([23, number]))
        planted.append(replace(sample, image=image, path=Path(f"planted in {sample.path.name}")))
    what = "good images" if good else "synthetic pictures"
    source = f"{len(base)} {what}, {len(planted)} with a planted anomaly"
    return [*base, *planted], source if good else f"{source}; no real image was used"


def _readable(samples: Sequence[Sample], bit_depth: int) -> list[Sample]:
    readable = []
    for sample in samples:
        try:
            read_image(sample.path, bit_depth=bit_depth)
        except ImageError:
            continue
        readable.append(sample)
    return readable


def _synthetic(preprocessing: Preprocessing) -> list[Sample]:
    """Textures in several shapes about the model's input size, and two pictures of plain noise.

    With a region of interest they have the shape of its pictures.
    """
    size, shapes, product = preprocessing.size, _SHAPES, ""
    if preprocessing.roi is not None:
        product = preprocessing.roi.masks[0][0]
        own = preprocessing.roi.size(product) or size
        factor = max(size) / max(own)
        size = max(1, round(own[0] * factor)), max(1, round(own[1] * factor))
        shapes = ((1.0, 1.0), (1.25, 1.25), (1.5, 1.5))
    pictures: list[NDArray[np.uint8]] = []
    for number in range(_EACH):
        for shape, (tall, wide) in enumerate(shapes):
            rng = np.random.default_rng([29, number, shape])
            pictures.append(_texture((round(tall * size[0]), round(wide * size[1])), rng))
    for number, (low, high) in enumerate(((0, 256), (100, 140))):
        noise = np.random.default_rng([31, number]).integers(low, high, (*size, 3))
        pictures.append(noise.astype(np.uint8))
    names = [Path(f"synthetic {n}, {p.shape[0]}×{p.shape[1]}") for n, p in enumerate(pictures)]
    return [Sample(n, product, "test", None, image=p) for n, p in zip(names, pictures, strict=True)]


def _texture(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Noise smoothed at all scales, coarse the stronger, as in natural pictures: ``(H, W, 3)``."""
    height, width = shape
    layers = rng.uniform(60, 190, 3) + np.zeros((height, width, 3), np.float32)
    for scale in (64, 32, 16, 8, 4, 2):
        grain = rng.normal(size=(height // scale + 2, width // scale + 2))
        image = Image.fromarray(grain.astype(np.float32))
        smooth = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
        layers += scale**0.5 * smooth[..., None] * rng.uniform(0.5, 3, 3)
    return np.clip(layers, 0, 255).astype(np.uint8)
