"""Effect size and overlap against the definitions, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ks_2samp, norm

from blemish.evaluation.separation import separation


def test_normal_scores_give_the_textbook_figures() -> None:
    points = (np.arange(4000) + 0.5) / 4000
    good, bad = norm.ppf(points), norm.ppf(points) + 1.5
    found = separation(good, bad)
    assert found.effect_size == pytest.approx(1.5, abs=0.01)
    assert found.overlap == pytest.approx(2 * norm.cdf(-0.75), abs=0.01)


def test_the_overlap_is_the_complement_of_kolmogorov_and_smirnovs_statistic() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        good, bad = rng.integers(0, 9, 12).astype(float), rng.integers(2, 12, 7).astype(float)
        assert separation(good, bad).overlap == pytest.approx(1 - ks_2samp(good, bad).statistic)


def test_the_effect_size_pools_both_variances() -> None:
    good, bad = [1.0, 2.0, 3.0, 6.0], [4.0, 9.0]
    mean = sum(good) / 4, sum(bad) / 2
    squares = sum((x - mean[0]) ** 2 for x in good) + sum((x - mean[1]) ** 2 for x in bad)
    expected = (mean[1] - mean[0]) / math.sqrt(squares / 4)
    assert separation(good, bad).effect_size == pytest.approx(expected)


def test_what_cannot_be_given_is_nan() -> None:
    assert math.isnan(separation([1.0], [2.0]).effect_size)
    assert separation([1.0], [2.0]).overlap == 0.0
    assert math.isnan(separation([1.0, 1.0], [2.0, 2.0]).effect_size)
    assert math.isnan(separation([], [2.0]).overlap)
