"""Regions of interest behind HTTP, and references: what does not fit is refused in their words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blemish.data.images.preprocess import Prepared, Preprocessing
from blemish.errors import ConfigError, ImageError
from blemish.serving.history.pictures import Picture
from blemish.serving.limits import RefusalError

_CODE = "region_of_interest"


def prepared(
    preprocessing: Preprocessing, image: NDArray[np.uint8], product: str | None, name: str
) -> Prepared:
    """What the network sees of a picture ``(H, W, 3)``; refused (422) where no region fits it."""
    try:
        return preprocessing.prepare(image, product or "", name=name)
    except (ConfigError, ImageError) as error:
        raise RefusalError(422, _CODE, str(error)) from error


def check_same_region(preprocessing: Preprocessing, picture: Picture, product: str | None) -> None:
    """Refuse (409) another product for a kept picture where regions or references differ by it.

    Its map was made of what the first one's region shows, and as the first one lies.
    """
    for by, what in ((preprocessing.roi, "region"), (preprocessing.alignment, "reference")):
        if by is not None and by.names_products and product != picture.product:
            raise RefusalError(
                409,
                _CODE,
                f"This model has another {what} for each product, and this picture was judged by "
                f"that of {picture.product}. Give it again, with its product.",
            )
