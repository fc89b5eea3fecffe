"""Framing of a training: region, reference and crop, settled on the good pictures before all else.

What a picture's frame is decides how large its input must be, so that this comes before the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from blemish._progress import Progress
from blemish.data.images.crop import PartCrop, Standing, find_part
from blemish.data.images.preprocess import MULTIPLE, Preprocessing
from blemish.data.images.roi import RegionOfInterest
from blemish.data.sample import Sample
from blemish.errors import ConfigError
from blemish.training.reference import Aligned as Aligned
from blemish.training.reference import aligned_to
from blemish.training.region import looking_at
from blemish.training.some_pictures import some_pictures

#: What pictures are cropped to; ``None``: they are not.
CropTo = Literal["part"] | None

#: Share of good pictures in which it must be found.
_FOUND = 0.9
#: Room around the largest part on each side, as a share of the picture's side.
_ROOM = 0.03


def framed(
    roi: RegionOfInterest | None,
    align: Aligned,
    crop_to: CropTo,
    good: Sequence[Sample],
    sizes: Sequence[tuple[int, int]],
    *,
    bit_depth: int,
    progress: Progress,
) -> tuple[Preprocessing, list[str]]:
    """A preprocessing of any input size with all that is asked for, and what there is to know.

    Args:
        roi: Region of interest; ``None``: all is looked at.
        align: Which products are aligned.
        crop_to: What pictures are cropped to.
        good: Training pictures.
        sizes: ``(H, W)`` of each.
        bit_depth: Bits used in 16-bit pictures.
        progress: Where progress is shown.

    Raises:
        ConfigError: Something that does not fit the pictures, or another ``crop_to``.
        MissingExtraError: OpenCV is needed and not installed.
    """
    view = Preprocessing(MULTIPLE, MULTIPLE, bit_depth=bit_depth)
    view, looked_at = looking_at(view, roi, good, sizes)
    view, aligned = aligned_to(view, align, good, progress)
    view, cropped = _cropped(view, crop_to, good, sizes, progress)
    return view, [*looked_at, *aligned, *cropped]


def _cropped(
    view: Preprocessing,
    crop_to: CropTo,
    good: Sequence[Sample],
    sizes: Sequence[tuple[int, int]],
    progress: Progress,
) -> tuple[Preprocessing, list[str]]:
    if crop_to is None:
        return view, []
    if crop_to != "part":
        raise ConfigError(f"crop_to is {crop_to!r}; expected part, or nothing.")
    products = tuple(dict.fromkeys(sample.product for sample in good))
    middles: dict[str, tuple[float, float] | None] = {}
    shares = []
    for product in products:
        own = [sample for sample in good if sample.product == product]
        fixed = _fixed(view, product)
        parts = [fixed] if fixed is not None else _parts(view, own, progress)
        found = [part for part in parts if part.found]
        if len(found) < _FOUND * max(1, len(parts)):
            return view, [
                f"Not cropped: in {len(parts) - len(found)} of {len(parts)} good pictures of "
                f"{product} no part stands out against an even background, so that all are seen "
                "whole. Say where it is with --roi."
            ]
        room = 2 * _ROOM * (fixed is None or view.roi is None or view.roi.size(product) is None)
        shares.append(
            (
                min(1.0, max(part.bottom - part.top for part in found) + room),
                min(1.0, max(part.right - part.left for part in found) + room),
            )
        )
        middles["" if len(products) == 1 else product] = None if fixed is None else fixed.middle
    height, width = (round(max(share), 4) for share in zip(*shares, strict=True))
    crop = PartCrop(height, width, tuple(middles.items()))
    usual = max(set(sizes), key=list(sizes).count)
    frame = crop.frame(usual)
    where = "around the part of each picture" if None in middles.values() else "at a fixed place"
    return replace(view, crop=crop), [
        f"Cropped to the part: of {usual[0]}×{usual[1]} pixels (H×W) {frame[0]}×{frame[1]} are "
        f"seen, {where}; the rest takes no part in anything."
    ]


def _fixed(view: Preprocessing, product: str) -> Standing | None:
    """Where the part of every picture is: in the region of interest, or as the reference shows."""
    own = None if view.roi is None else view.roi.size(product)
    if view.roi is not None and own is not None:
        mask = view.roi.at(own, product)
        assert mask is not None  # it has a size
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        return Standing(
            *(float(rows[0] / own[0]), float(columns[0] / own[1])),
            *(float((rows[-1] + 1) / own[0]), float((columns[-1] + 1) / own[1])),
            1.0,
        )
    references = dict(() if view.alignment is None else view.alignment.references)
    reference = references.get(product, references.get(""))
    return None if reference is None else find_part(reference.pixels)


def _parts(view: Preprocessing, samples: Sequence[Sample], progress: Progress) -> list[Standing]:
    some = some_pictures(samples, "Finding parts", bit_depth=view.bit_depth, progress=progress)
    return [find_part(pixels) for _, pixels in some]
