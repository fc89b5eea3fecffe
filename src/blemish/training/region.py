"""Region of interest of a training: checked against the pictures before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.roi import RegionOfInterest
from blemish.data.sample import Sample
from blemish.errors import ConfigError


def looking_at(
    preprocessing: Preprocessing,
    roi: RegionOfInterest | None,
    good: Sequence[Sample],
    sizes: Sequence[tuple[int, int]],
) -> tuple[Preprocessing, list[str]]:
    """The preprocessing that leaves out what is ignored, and what there is to know of it.

    Args:
        preprocessing: Without a region.
        roi: The region; ``None``: all is looked at.
        good: Training pictures.
        sizes: ``(H, W)`` of each.

    Raises:
        ConfigError: A region of a product that there is not, or one that fits none of the pictures
            of its product.
    """
    if roi is None:
        return preprocessing, []
    products = tuple(dict.fromkeys(sample.product for sample in good))
    roi.check_products(products)
    notes = []
    for product in products:
        own = roi.size(product)
        if own is None:
            notes.append(f"{product}: no region of interest was given, all of it is looked at.")
            continue
        of_product = Counter(
            size for sample, size in zip(good, sizes, strict=True) if sample.product == product
        )
        usual = of_product.most_common(1)[0][0]
        if not any(roi.fits(size, product) for size in of_product):
            raise ConfigError(
                f"The region of interest of {product} is for pictures of {own[0]}×{own[1]} pixels "
                f"(H×W), and its pictures have {usual[0]}×{usual[1]}. Expected one of their shape: "
                "draw it on one of these pictures."
            )
        scaled = (
            ""
            if own in of_product
            else (f" It was given for pictures of {own[0]}×{own[1]} (H×W) and is scaled with them.")
        )
        notes.append(
            f"{product}: {100 * roi.share(product):.0f} % of the picture is looked at, the rest "
            f"takes no part in anything.{scaled}"
        )
    return replace(preprocessing, roi=roi.of_products(products)), notes
