"""The confidence interval of the AUROC: its definition, its coverage, its ends."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from blemish.metrics import auroc, auroc_interval


def test_limits_solve_the_defining_equation() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) < 20
    scores = rng.standard_normal(60) + labels
    estimate, low, high = auroc_interval(scores, labels, level=0.9)
    assert estimate == auroc(scores, labels)
    for t in (low, high):
        c = 60 / 2 - 1
        variance = t * (1 - t) * (1 + c * (1 - t) / (2 - t) + c * t / (1 + t)) / (20 * 40)
        assert abs(estimate - t) / math.sqrt(variance) == pytest.approx(1.6448536, abs=1e-5)


@pytest.mark.parametrize(("shift", "spread"), [(0.5, 1.0), (1.5, 1.0), (2.5, 1.5)])
def test_coverage(shift: float, spread: float) -> None:
    """95 % intervals hold the true area in about 95 % of repeated experiments."""
    rng = np.random.default_rng(1)
    true = NormalDist().cdf(shift / math.sqrt(1 + spread**2))
    labels = np.arange(70) < 40
    hits = 0
    for _ in range(400):
        scores = np.where(labels, rng.normal(shift, spread, 70), rng.standard_normal(70))
        _, low, high = auroc_interval(scores, labels)
        hits += low <= true <= high
    assert 0.92 <= hits / 400 <= 0.99


def test_perfect_and_opposite_order_keep_a_width() -> None:
    labels = [0] * 10 + [1] * 10
    estimate, low, high = auroc_interval(range(20), labels)
    assert estimate == high == 1.0
    assert 0.7 < low < 0.9
    mirrored = auroc_interval(range(20), labels[::-1])
    assert mirrored == (0.0, 0.0, pytest.approx(1 - low))


def test_more_images_and_a_lower_level_narrow_it() -> None:
    def width(n: int, level: float) -> float:
        scores = [0, 2] * n + [1, 3] * n
        _, low, high = auroc_interval(scores, [0] * 2 * n + [1] * 2 * n, level=level)
        return high - low

    assert width(40, 0.95) < width(10, 0.95)
    assert width(10, 0.80) < width(10, 0.95)


def test_one_class_only_is_undefined() -> None:
    assert all(math.isnan(v) for v in auroc_interval([1, 2], [1, 1]))
