"""ROC and PRO curves: their vertices, and what thinning may and may not change."""

from __future__ import annotations

import numpy as np
import pytest
from metric_reference import blobs
from scipy.spatial import cKDTree
from sklearn.metrics import auc
from sklearn.metrics import roc_curve as reference_roc_curve

from blemish.metrics import PixelAccumulator, auroc, roc_curve
from blemish.metrics.pixel import accumulate_pixels


def scores_and_labels(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.random(count) < 0.1
    return np.round(rng.standard_normal(count) + 1.5 * labels, 3), labels


def test_roc_vertices_lie_on_the_reference_curve() -> None:
    scores, labels = scores_and_labels(2000)
    curve = roc_curve(scores, labels, points=10_000)
    fpr, tpr, _ = reference_roc_curve(labels, scores, drop_intermediate=False)
    assert auc(curve.fpr, curve.rate) == pytest.approx(auroc(scores, labels), abs=1e-12)
    ours = set(zip(curve.fpr.tolist(), curve.rate.tolist(), strict=True))
    assert ours <= set(zip(fpr.tolist(), tpr.tolist(), strict=True)) | {(0.0, 0.0)}


@pytest.mark.parametrize("points", [20, 100, 501])
def test_thinned_curve_stays_close(points: int) -> None:
    scores, labels = scores_and_labels(20_000)
    full = roc_curve(scores, labels, points=10**6)
    thin = roc_curve(scores, labels, points=points)
    assert 0.8 * points < len(thin.fpr) <= points < len(full.fpr)
    assert (thin.fpr[0], thin.rate[0], thin.fpr[-1], thin.rate[-1]) == (0, 0, 1, 1)
    assert (np.diff(thin.fpr) >= 0).all()
    assert (np.diff(thin.rate) >= 0).all()
    # every vertex of the full curve, against a dense walk along the thinned one
    walk, at = np.linspace(0, 2, 40_001), thin.fpr + thin.rate
    dense = np.column_stack((np.interp(walk, at, thin.fpr), np.interp(walk, at, thin.rate)))
    distance, _ = cKDTree(dense).query(np.column_stack((full.fpr, full.rate)), p=1)
    assert distance.max() <= 2 / (points - 1) + 1e-4


def test_pixel_curves() -> None:
    maps, masks = blobs(np.random.default_rng(1), images=6)
    pixels = accumulate_pixels(maps, masks, PixelAccumulator(fpr_limit=1.0))
    pro, roc = pixels.pro_curve(points=10**6), pixels.roc_curve(points=10**6)
    results = pixels.compute()
    assert auc(pro.fpr, pro.rate) == pytest.approx(results["pixel_aupro"], abs=1e-9)
    assert auc(roc.fpr, roc.rate) == pytest.approx(results["pixel_auroc"], abs=1e-9)
    assert len(pixels.pro_curve(points=64).fpr) <= 64
