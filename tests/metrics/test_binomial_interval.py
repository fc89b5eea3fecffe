from __future__ import annotations

import math

import pytest
from scipy import stats

from blemish.errors import ConfigError, DataError
from blemish.metrics.intervals import binomial_interval


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(
    ("count", "total"),
    [(0, 1), (1, 1), (0, 20), (2, 20), (20, 20), (63, 141), (3, 5000), (4999, 5000)],
)
def test_equals_the_quantiles_of_the_beta_distribution(
    count: int, total: int, level: float
) -> None:
    tail = (1 - level) / 2
    estimate, low, high = binomial_interval(count, total, level=level)
    assert estimate == count / total
    expected_low = 0.0 if count == 0 else stats.beta.ppf(tail, count, total - count + 1)
    expected_high = 1.0 if count == total else stats.beta.ppf(1 - tail, count + 1, total - count)
    assert low == pytest.approx(expected_low, abs=1e-9)
    assert high == pytest.approx(expected_high, abs=1e-9)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.97])
def test_covers_the_true_share_at_least_as_often_as_stated(share: float) -> None:
    n = 30
    covered = 0.0
    for count in range(n + 1):
        _, low, high = binomial_interval(count, n)
        if low <= share <= high:
            covered += float(stats.binom.pmf(count, n, share))
    assert covered >= 0.95


def test_of_nothing_no_share_is_known() -> None:
    assert all(math.isnan(value) for value in binomial_interval(0, 0))


@pytest.mark.parametrize(("count", "total"), [(-1, 5), (6, 5), (1, 0)])
def test_impossible_counts_are_refused(count: int, total: int) -> None:
    with pytest.raises(DataError, match=f"A share of {count} in {total}"):
        binomial_interval(count, total)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_outside_0_and_1_is_refused(level: float) -> None:
    with pytest.raises(ConfigError, match="confidence level"):
        binomial_interval(1, 2, level=level)
