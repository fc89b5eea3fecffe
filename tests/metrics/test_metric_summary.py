"""mAD, ADer's pixel F1-max, decisions at a threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from metric_reference import ader_f1_max_by_loops, blobs
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from blemish.errors import DataError
from blemish.metrics import (
    MEAN_AD_METRICS,
    Confusion,
    ader_f1_max,
    confusion,
    image_metrics,
    mean_ad,
    pixel_metrics,
)


def test_mean_ad_is_the_mean_of_seven_category_means() -> None:
    rng = np.random.default_rng(0)
    table = rng.random((4, 7))
    categories = [dict(zip(MEAN_AD_METRICS, row, strict=True)) for row in table]
    assert mean_ad(categories) == pytest.approx(table.mean(axis=0).mean())
    with_more = [category | {"pixel_miou": 0.0} for category in categories]
    assert mean_ad(with_more) == mean_ad(categories)  # mIoU is not in it


def test_mean_ad_takes_what_the_two_functions_give() -> None:
    maps, masks = blobs(np.random.default_rng(1), images=4)
    scores, labels = [m.max() for m in maps], [mask.any() for mask in masks]
    values = image_metrics(scores, labels) | pixel_metrics(maps, masks)
    assert set(values) == set(MEAN_AD_METRICS)
    assert mean_ad([values]) == pytest.approx(np.mean(list(values.values())))


def test_mean_ad_refuses_gaps_and_keeps_nan() -> None:
    whole = dict.fromkeys(MEAN_AD_METRICS, 0.5)
    with pytest.raises(DataError, match="Category 1 has no pixel_ap"):
        mean_ad([whole, {k: v for k, v in whole.items() if k != "pixel_ap"}])
    with pytest.raises(DataError, match="no category"):
        mean_ad([])
    assert math.isnan(mean_ad([whole, whole | {"pixel_aupro": math.nan}]))


def test_ader_f1_max() -> None:
    maps, masks = blobs(np.random.default_rng(2), images=6)
    result = pixel_metrics(maps, masks, compatibility="ader")
    assert result["pixel_f1_max_ader"] == pytest.approx(
        ader_f1_max_by_loops(maps, masks), abs=1e-12
    )
    assert ader_f1_max(maps, masks) == result["pixel_f1_max_ader"]
    assert result["pixel_f1_max_ader"] < result["pixel_f1_max"]
    category = dict.fromkeys(MEAN_AD_METRICS, 0.5) | {"pixel_f1_max_ader": 0.0}
    assert mean_ad([category], compatibility="ader") == pytest.approx(3 / 7)


def test_ader_thresholds_are_strict_and_depend_on_the_extremes() -> None:
    mask = np.array([[True, True, False, False]])
    assert ader_f1_max([np.array([[1.0, 0.06, 0.04, 0.0]])], [mask]) == pytest.approx(1.0)
    # One outlier among the normal pixels moves all thresholds.
    wide = ader_f1_max([np.array([[1.0, 0.06, 0.04, 9.0]])], [mask])
    assert wide == pytest.approx(ader_f1_max_by_loops([np.array([[1.0, 0.06, 0.04, 9.0]])], [mask]))
    # A pixel exactly on a threshold is not above it.
    assert ader_f1_max([np.array([[1.0, 0.0, 0.0, 0.0]])], [mask]) == pytest.approx(2 / 3)
    assert math.isnan(ader_f1_max([np.ones((1, 4))], [mask]))
    assert math.isnan(ader_f1_max([np.ones((1, 4))], [None]))
    with pytest.raises(DataError, match="infinite"):
        ader_f1_max([np.array([[1.0, np.inf, 0, 0]])], [mask])


@pytest.mark.parametrize("threshold", [-0.5, 0.0, 0.31, 1.7])
def test_decisions_equal_scikit_learn(threshold: float) -> None:
    rng = np.random.default_rng(3)
    labels = rng.random(200) < 0.3
    scores = np.round(rng.standard_normal(200) + labels, 1)
    result = confusion(scores, labels, threshold=threshold)
    called = scores >= threshold
    assert result.tp + result.fp + result.tn + result.fn == 200
    assert result.accuracy == pytest.approx(accuracy_score(labels, called))
    assert result.precision == pytest.approx(precision_score(labels, called))
    assert result.recall == pytest.approx(recall_score(labels, called))
    assert result.f1 == pytest.approx(f1_score(labels, called))


def test_a_ratio_of_nothing_is_undefined() -> None:
    quiet = confusion([0.1, 0.2], [0, 1], threshold=5.0)
    assert quiet == Confusion(tp=0, fp=0, tn=1, fn=1)
    assert math.isnan(quiet.precision)
    assert (quiet.recall, quiet.f1, quiet.accuracy) == (0.0, 0.0, 0.5)
    good_only = confusion([0.1, 0.2], [0, 0], threshold=5.0)
    assert math.isnan(good_only.recall)
    assert math.isnan(good_only.f1)
    assert math.isnan(confusion([], [], threshold=0.0).accuracy)
    assert confusion([np.inf, -np.inf], [1, 0], threshold=np.inf).accuracy == 1.0
