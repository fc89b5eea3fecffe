"""Regions of interest behind HTTP: refusals in words, and the page's layer dims what is ignored."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.roi import RegionOfInterest
from blemish.serving.drawing import heat_layer
from blemish.serving.history.pictures import Picture
from blemish.serving.limits import RefusalError
from blemish.serving.regions import check_same_region, prepared

LOOKED_AT = np.zeros((64, 64), bool)
LOOKED_AT[:, 32:] = True
BY_PRODUCT = Preprocessing(64, 64, roi=RegionOfInterest.of({"nut": LOOKED_AT, "cap": ~LOOKED_AT}))
IMAGE = np.full((64, 64, 3), 9, np.uint8)


def picture(product: str) -> Picture:
    return Picture("0" * 64, product, "a.png", (64, 64), 1.0, 1.0, 0.0, {}, "ok", 1, named=True)


def test_the_product_decides_and_must_be_named() -> None:
    pixels = prepared(BY_PRODUCT, IMAGE, "nut", "a.png").pixels
    assert (pixels[:, 32:] == 9).all()
    assert (pixels[:, :32] == 127).all()
    for product, image, said in (
        (None, IMAGE, "one of nut, cap"),
        ("nut", IMAGE[:20], "a.png has 20×64 pixels"),
    ):
        with pytest.raises(RefusalError) as caught:
            prepared(BY_PRODUCT, image, product, "a.png")
        assert (caught.value.status, caught.value.code) == (422, "region_of_interest")
        assert said in caught.value.detail


def test_a_kept_picture_keeps_the_product_by_whose_region_it_was_judged() -> None:
    check_same_region(BY_PRODUCT, picture("nut"), "nut")
    for product in ("cap", None):
        with pytest.raises(RefusalError, match="judged by that of nut"):
            check_same_region(BY_PRODUCT, picture("nut"), product)
    one_for_all = Preprocessing(64, 64, roi=RegionOfInterest.of({"": LOOKED_AT}))
    check_same_region(one_for_all, picture("nut"), "cap")


def test_the_layer_of_the_page_dims_what_is_ignored() -> None:
    layer = heat_layer(
        np.zeros((64, 64), np.float32),
        (128, 128),
        preprocessing=BY_PRODUCT,
        scale=(0.0, 1.0),
        product="nut",
    )
    alpha = np.asarray(Image.open(io.BytesIO(layer)))[..., 3]
    assert (alpha[:, :32] > 100).all()
    assert (alpha[:, 32:] == 0).all()
