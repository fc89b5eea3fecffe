"""Regions of interest behind HTTP: what cannot be judged by them is refused, in their own words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blemish.data.images.preprocess import Preprocessing
from blemish.errors import ConfigError, ImageError
from blemish.serving.history.pictures import Picture
from blemish.serving.limits import RefusalError

_CODE = "region_of_interest"


def prepared(
    preprocessing: Preprocessing, image: NDArray[np.uint8], product: str | None, name: str
) -> NDArray[np.uint8]:
    """What the network sees of a picture ``(H, W, 3)``; refused (422) where no region fits it."""
    try:
        return preprocessing(image, product or "", name=name)
    except (ConfigError, ImageError) as error:
        raise RefusalError(422, _CODE, str(error)) from error


def check_same_region(preprocessing: Preprocessing, picture: Picture, product: str | None) -> None:
    """Refuse (409) another product for a kept picture where regions differ by product.

    Its map was made of what the first one's region shows.
    """
    roi = preprocessing.roi
    if roi is not None and roi.names_products and product != picture.product:
        raise RefusalError(
            409,
            _CODE,
            "This model looks at another region for each product, and this picture was judged by "
            f"that of {picture.product}. Give it again, with its product.",
        )
