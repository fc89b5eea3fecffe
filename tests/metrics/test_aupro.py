"""Pixel metrics and AUPRO against brute force and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from metric_reference import aupro_by_loops, blobs, components_by_flood_fill
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from blemish.metrics import PixelAccumulator, aupro, pixel_metrics
from blemish.metrics.overlap import component_weights

small_map = hnp.arrays(
    np.float32, (5, 6), elements=st.sampled_from([-2.0, -0.0, 0.0, 0.25, 0.5, 3.0, np.inf])
)
small_mask = hnp.arrays(np.bool_, (5, 6))


@given(
    st.lists(st.tuples(small_map, small_mask), min_size=1, max_size=3),
    st.sampled_from([0.05, 0.3, 1.0]),
)
@settings(max_examples=100, deadline=None)
def test_equal_to_loops_with_ties(images: list[tuple[NDArray, NDArray]], limit: float) -> None:
    maps, masks = [m for m, _ in images], [mask for _, mask in images]
    masks[0][0, 0], masks[0][4, 5] = True, False  # both classes
    assert aupro(maps, masks, fpr_limit=limit) == pytest.approx(
        aupro_by_loops(maps, masks, limit), abs=1e-12
    )


@given(small_mask)
@settings(max_examples=100, deadline=None)
def test_components_are_8_connected(mask: NDArray) -> None:
    weights = component_weights(mask)
    components = components_by_flood_fill(mask)
    area = np.zeros(mask.shape)
    for component in components:
        for pixel in component:
            area[pixel] = len(component)
    np.testing.assert_allclose(weights, 1 / area[mask])


def test_equal_to_scikit_learn_and_loops_on_noise() -> None:
    maps, masks = blobs(np.random.default_rng(0), images=5, size=(24, 20))
    pixels, truth = np.stack(maps).ravel(), np.stack(masks).ravel()
    precision, recall, _ = precision_recall_curve(truth, pixels)
    assert pixel_metrics(maps, masks) == pytest.approx(
        {
            "pixel_auroc": roc_auc_score(truth, pixels),
            "pixel_ap": average_precision_score(truth, pixels),
            "pixel_f1_max": np.nanmax(2 * precision * recall / (precision + recall)),
            "pixel_aupro": aupro_by_loops(maps, masks, 0.3),
        },
        abs=1e-9,
    )


def test_small_components_weigh_as_much_as_large_ones() -> None:
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = True  # 1 pixel, missed
    mask[5:9, 5:9] = True  # 16 pixels, found before any normal pixel
    anomaly_map = np.where(mask, 1.0, 0.0)
    anomaly_map[0, 0] = -1.0
    assert aupro([anomaly_map], [mask]) == pytest.approx(0.5)


def test_components_of_different_images_are_not_joined() -> None:
    mask = np.ones((1, 2), bool)
    masks = [np.hstack([mask, ~mask]), np.hstack([mask, ~mask])]
    maps = [np.array([[2.0, 2, 1, 1]]), np.array([[0.0, 0, 1, 1]])]
    assert aupro(maps, masks, fpr_limit=0.5) == pytest.approx(0.5)


def test_constant_maps_lie_on_the_diagonal() -> None:
    mask = np.zeros((4, 5), bool)
    mask[1, 1] = True
    result = pixel_metrics([np.full((4, 5), 3.0)], [mask])
    assert result["pixel_auroc"] == 0.5
    assert result["pixel_ap"] == pytest.approx(1 / 20)
    assert result["pixel_aupro"] == pytest.approx(0.15)  # half of the limit


@pytest.mark.parametrize("mask", [None, np.zeros((2, 3)), np.ones((2, 3))])
def test_one_class_only_is_undefined(mask: NDArray | None) -> None:
    pixels = PixelAccumulator()
    assert all(math.isnan(v) for v in pixels.compute().values())  # empty
    pixels.add(np.arange(6.0).reshape(2, 3), mask)
    assert all(math.isnan(v) for v in pixels.compute().values())
    assert all(math.isnan(v) for v in pixels.error_bounds().values())
    assert len(pixels.roc_curve().fpr) == len(pixels.pro_curve().fpr) == 0
    assert math.isnan(pixels.f1_max().threshold)


def test_sizes_types_and_the_absent_mask() -> None:
    rng = np.random.default_rng(1)
    maps, masks = blobs(rng, images=4)
    wide, _ = blobs(rng, images=1, size=(20, 70))
    expected = pixel_metrics([*maps, *wide], [*masks, np.zeros((20, 70), bool)])
    grey = [np.where(mask, 255, 0).astype(np.uint8) for mask in masks]
    assert pixel_metrics([*maps, *wide], [*grey, None]) == expected
    strided = [np.asfortranarray(m) for m in maps]
    assert pixel_metrics([*strided, *wide], [*masks, None]) == expected
    whole = [np.round(m * 100).astype(np.int16) for m in maps]
    assert pixel_metrics(whole, masks) == pixel_metrics(
        [w.astype(np.float32) for w in whole], masks
    )


def test_only_the_order_matters() -> None:
    maps, masks = blobs(np.random.default_rng(2), images=4)
    stretched = [(np.exp(m / 2) * 1000).astype(np.float32) for m in maps]
    assert pixel_metrics(stretched, masks) == pytest.approx(pixel_metrics(maps, masks), abs=1e-6)


def test_caller_may_reuse_its_buffers_and_ask_in_between() -> None:
    maps, masks = blobs(np.random.default_rng(3), images=6)
    pixels = PixelAccumulator()
    buffer = np.empty_like(maps[0])
    for anomaly_map, mask in zip(maps, masks, strict=True):
        buffer[:] = anomaly_map
        pixels.add(buffer, mask)
        buffer[:] = 99
        pixels.compute()
    assert pixels.compute() == pixel_metrics(maps, masks)
    assert set(pixels.error_bounds().values()) == {0.0}
