"""The images on which an export is compared with the trained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from blemish.data.images.pixels import to_rgb
from blemish.data.images.reading import read_image
from blemish.data.planted import plant_anomaly
from blemish.data.sample import Sample
from blemish.data.sources import images_to_judge
from blemish.demo_line import PRODUCTS, render
from blemish.errors import DataError, ImageError

#: More good images than this prove nothing more and only cost time.
MOST_IMAGES = 100
#: Aspect ratios of the synthetic pictures, height by width.
_SHAPES = ((320, 320), (240, 320), (320, 240))


def good_samples(folder: str | Path, products: Sequence[str]) -> list[Sample]:
    """A user's good images; one in a folder that is named as a product is of that product.

    Raises:
        DataError: The folder does not exist or holds no images.

    Example: see :func:`blemish.export.export_model`.
    """
    root = Path(folder)
    samples = []
    for sample in images_to_judge(root):
        inside = sample.path.relative_to(root).parts[:-1] if root.is_dir() else ()
        product = next((name for name in (*inside, root.name) if name in products), "")
        samples.append(replace(sample, product=product))
    return samples


def compared_samples(
    good: Sequence[Sample], *, bit_depth: int, most: int = MOST_IMAGES
) -> tuple[list[Sample], str]:
    """Good images, each also with an anomaly planted, and what they are in words.

    Without planted anomalies all scores would lie where good ones do.

    Args:
        good: The user's; none: procedural pictures and noise stand in for them.
        bit_depth: Bits used in 16-bit files.
        most: Of more images than this, as many are taken at even distances.

    Raises:
        DataError: None of the images can be read.

    Example:
        >>> from blemish.export.images import compared_samples
        >>> samples, source = compared_samples([], bit_depth=16)
        >>> len(samples), source
        (28, '14 synthetic pictures, 14 with a planted anomaly; no real image was used')
    """
    real = bool(good)
    rows = np.linspace(0, len(good) - 1, min(most, len(good))).round().astype(int)
    base = _readable([good[row] for row in rows], bit_depth) if real else _synthetic()
    if not base:
        raise DataError("None of the images for the comparison can be read.")
    planted = []
    for number, sample in enumerate(base):
        rng = np.random.default_rng([23, number])
        pixels = (
            read_image(sample.path, bit_depth=bit_depth)
            if sample.image is None
            else to_rgb(sample.image, bit_depth=bit_depth)
        )
        image, _ = plant_anomaly(pixels, rng)
        planted.append(replace(sample, image=image, path=Path(f"planted in {sample.path.name}")))
    what = "good images" if real else "synthetic pictures"
    source = f"{len(base)} {what}, {len(planted)} with a planted anomaly"
    if not real:
        source += "; no real image was used"
    return [*base, *planted], source


def _readable(samples: Sequence[Sample], bit_depth: int) -> list[Sample]:
    readable = []
    for sample in samples:
        try:
            read_image(sample.path, bit_depth=bit_depth)
        except ImageError:
            continue
        readable.append(sample)
    return readable


def _synthetic() -> list[Sample]:
    """Procedural pictures of the demo's products in three shapes, and two of plain noise."""
    images = []
    for number, product in enumerate(PRODUCTS):
        for shape in _SHAPES:
            rng = np.random.default_rng([29, number, shape[0]])
            images.append(
                (f"{product}, {shape[0]}×{shape[1]}", render(product, size=shape, rng=rng)[0])
            )
    for number, (low, high) in enumerate(((0, 256), (100, 140))):
        noise = np.random.default_rng([31, number]).integers(low, high, (256, 256, 3))
        images.append((f"noise {number}", noise.astype(np.uint8)))
    return [Sample(Path(name), "", "test", None, image=image) for name, image in images]
