"""References of a training: the good picture of each product that the others are aligned to.

It is the medoid, the one most like all others as they lie, so that none has far to go. How well the
others fit it says how well a new picture must.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from blemish._progress import Progress
from blemish.data.images.alignment import KEPT, Alignment, Reference
from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.registration import (
    SHIFT,
    TURN,
    Found,
    register,
    resized,
    to_grey,
    working_size,
)
from blemish.data.sample import Sample
from blemish.errors import ConfigError
from blemish.training.some_pictures import some_pictures

#: All products, none of them, or those that are named.
Aligned = bool | Sequence[str]

_THUMBNAIL = 48
#: Correlation below which two pictures are not of one part.
_LEAST = 0.5
#: Share of good pictures that must fit, or the product cannot be aligned.
_FIT = 0.8
#: A limit is no higher: of parts that are all alike a defect costs more than they differ by.
_HIGHEST = 0.85
_LOW = 0.05  # share of good pictures that may fit worse than what the limit is reckoned from


def aligned_to(
    preprocessing: Preprocessing,
    align: Aligned,
    good: Sequence[Sample],
    progress: Progress,
) -> tuple[Preprocessing, list[str]]:
    """The preprocessing that aligns pictures, and what there is to know of it.

    Args:
        preprocessing: Without alignment; its region of interest says what of a reference counts.
        align: Which products are aligned.
        good: Training pictures.
        progress: Where progress is shown.

    Raises:
        ConfigError: A product that there is not, or whose good pictures do not fit each other.
        MissingExtraError: OpenCV is not installed.
    """
    products = tuple(dict.fromkeys(sample.product for sample in good))
    wanted = wanted_products(align, products)
    if not wanted:
        return preprocessing, []
    references: dict[str, Reference | None] = {}
    notes = []
    for product in products:
        name = "" if len(products) == 1 else product
        references[name] = None
        if product in wanted:
            own = [sample for sample in good if sample.product == product]
            reference, found = _reference(own, product, preprocessing, progress)
            references[name] = reference
            notes.append(_note(product, reference, found))
        else:
            notes.append(f"{product} is not aligned: its pictures are judged as they lie.")
    return replace(preprocessing, alignment=Alignment(tuple(references.items()))), notes


def limit_of(qualities: Iterable[float]) -> float:
    """The least correlation that a picture must have, from those of good ones.

    Half way between nothing in common and the worst of them, on Fisher's scale, where correlations
    spread evenly; the worst one in twenty does not count. 0.85 at most.

    Example:
        >>> from blemish.training.reference import limit_of
        >>> round(limit_of([0.9, 0.92, 0.94, 0.95, 0.96]), 3), limit_of([0.999] * 5)
        (0.634, 0.85)
    """
    scale = np.arctanh(np.clip(list(qualities), -0.9999, 0.9999))
    return min(_HIGHEST, round(float(np.tanh(np.quantile(scale, _LOW) / 2)), 4))


def wanted_products(align: Aligned, products: Sequence[str]) -> tuple[str, ...]:
    """Those of the products that are to be aligned; :class:`ConfigError` for one that is none."""
    if isinstance(align, bool):
        return tuple(products) if align else ()
    wanted = tuple(align)
    unknown = [name for name in wanted if name not in products]
    if unknown:
        raise ConfigError(
            f"The product {unknown[0]!r} was to be aligned; the products are "
            f"{', '.join(products)}. Name one of these, or align all of them."
        )
    return wanted


def _reference(
    samples: Sequence[Sample], product: str, preprocessing: Preprocessing, progress: Progress
) -> tuple[Reference, list[Found]]:
    greys: list[NDArray[np.uint8]] = []
    small: list[NDArray[np.uint8]] = []
    names: list[str] = []
    depth = preprocessing.bit_depth
    for sample, pixels in some_pictures(samples, "Aligning", bit_depth=depth, progress=progress):
        source = pixels.shape[0], pixels.shape[1]
        small.append(resized(pixels, working_size(source, min(KEPT, max(source)))))
        greys.append(to_grey(small[-1], working_size(source)))
        names.append(sample.path.name)
    shape = max({g.shape for g in greys}, key=[g.shape for g in greys].count, default=None)
    same = [n for n, grey in enumerate(greys) if grey.shape == shape]
    if len(same) < 2:
        raise ConfigError(
            f"{product}: {len(same)} readable good pictures of one shape were found; to align "
            "pictures at least 2 are needed. Give more, or fit without --align."
        )
    medoid = _medoid([greys[n] for n in same])
    reference = greys[same[medoid]]
    looked_at = None
    if preprocessing.roi is not None:
        looked_at = preprocessing.roi.at((reference.shape[0], reference.shape[1]), product)
    found = [register(reference, greys[n], looked_at) for n in same if n != same[medoid]]
    fits = [one.quality for one in found if one.in_range and one.quality >= _LEAST]
    if len(fits) < _FIT * len(found):
        middle = float(np.median([one.quality for one in found]))
        raise ConfigError(
            f"{product}: {len(found) - len(fits)} of {len(found)} good pictures cannot be aligned "
            f"with {names[same[medoid]]} within ±{TURN:.0f}° and ±{100 * SHIFT:.0f} % (correlation "
            f"{middle:.2f} in the middle). Aligning is for parts of one shape, whole in the "
            "picture: fit this product without it (--align-product names the others)."
        )
    usual = round(float(np.median(fits)), 4)
    kept = small[same[medoid]]
    return Reference.of(kept, limit_of(fits), usual, names[same[medoid]]), found


def _medoid(greys: Sequence[NDArray[np.uint8]]) -> int:
    """The picture whose correlation with the others is highest in the middle."""
    small = working_size((greys[0].shape[0], greys[0].shape[1]), _THUMBNAIL)
    rows = np.stack([resized(grey, small).ravel() for grey in greys])
    rows = rows.astype(np.float64) - rows.mean(1, keepdims=True)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return int(np.median(rows @ rows.T, axis=1).argmax())


def _note(product: str, reference: Reference, found: Sequence[Found]) -> str:
    angle = max(abs(one.angle) for one in found if one.in_range)
    shift = max(max(abs(one.right), abs(one.down)) for one in found if one.in_range)
    return (
        f"{product} is aligned to {reference.name}, in whose frame regions of interest lie: good "
        f"pictures are turned by up to {angle:.1f}° and shifted by up to {100 * shift:.1f} %, and "
        f"then correlate by {reference.usual:.2f}; below {reference.limit:.2f} one cannot be "
        "aligned."
    )
