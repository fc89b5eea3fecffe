from __future__ import annotations

import math
from fractions import Fraction
from statistics import median

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blemish.calibration import CalibrationRecord, calibrate
from blemish.calibration.conformal import (
    guaranteed_rate,
    images_needed,
    in_groups,
    limit_at,
    limit_rank,
    p_value,
    times_limit,
)

RATES = st.floats(min_value=1e-4, max_value=0.5)
# Few distinct values, so that ties are the rule.
SCORES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=60).map(
    lambda values: tuple(sorted(values))
)


@given(SCORES, st.floats(-1, 7))
def test_p_value_is_the_definition(good: tuple[float, ...], score: float) -> None:
    assert p_value(score, good) == (1 + sum(s >= score for s in good)) / (len(good) + 1)


@given(SCORES, st.floats(-1, 7), st.floats(-1, 7))
def test_p_value_never_rises_with_the_score(good: tuple[float, ...], a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert p_value(high, good) <= p_value(low, good)


@given(SCORES, st.integers(-1, 8).map(float), RATES)
@example(good=tuple(map(float, range(99))), score=70.5, rate=0.29)  # 0.29 * 100 = 28.999…
@example(good=tuple(map(float, range(99))), score=92.5, rate=0.07)  # 0.07 * 100 = 7.000…1
@example(good=(0.0, 1.0), score=2.0, rate=1 / 3)  # no finite decimal
def test_a_limit_lies_within_one_step_of_p_values(
    good: tuple[float, ...], score: float, rate: float
) -> None:
    k, step, p = limit_rank(rate, len(good)), 1 / (len(good) + 1), p_value(score, good)
    assert (p <= rate) == (k > 0 and score > good[-k])
    above = score > limit_at(rate, good)
    assert above or p > rate
    assert not above or p < max(rate, step) + step


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_a_rate_that_is_a_p_value_reaches_its_own_limit(n: int, j: int) -> None:
    j = 1 + j % ((n + 1) // 2)  # rates up to 0.5
    assert limit_rank(j / (n + 1), n) == j
    assert limit_rank(math.nextafter(j / (n + 1), 0), n) == j - 1


@pytest.mark.parametrize("rate", ["0.01", "0.05", "0.07", "0.1", "0.29", "0.003", "0.5"])
def test_rank_is_the_floor_in_exact_arithmetic(rate: str) -> None:
    for n in range(1, 2000):
        assert limit_rank(float(rate), n) == math.floor(Fraction(rate) * (n + 1))


@given(RATES)
def test_images_needed_is_the_turning_point(rate: float) -> None:
    n = images_needed(rate)
    assert limit_rank(rate, n) == 1
    assert n == 1 or limit_rank(rate, n - 1) == 0


@given(st.lists(st.integers(0, 6).map(float), min_size=2, max_size=40), RATES)
def test_exchangeability_bounds_the_rate_exactly(scores: list[float], rate: float) -> None:
    """Each of n + 1 scores once as the new one: the heart of the guarantee, without any chance."""
    n = len(scores) - 1
    flagged = sum(
        p_value(score, tuple(sorted(scores[:i] + scores[i + 1 :]))) <= rate
        for i, score in enumerate(scores)
    )
    assert flagged <= limit_rank(rate, n)
    if len(set(scores)) == len(scores):
        assert flagged == limit_rank(rate, n)


@given(st.lists(st.integers(0, 6).map(float), min_size=2, max_size=40), RATES)
def test_whatever_the_scores_no_more_than_a_step_above_the_rate(
    scores: list[float], rate: float
) -> None:
    n = len(scores) - 1
    flagged = sum(
        score > limit_at(rate, sorted(scores[:i] + scores[i + 1 :]))
        for i, score in enumerate(scores)
    )
    assert flagged <= limit_rank(rate, n) + 1


@given(SCORES, RATES)
def test_the_limit_lies_where_the_rate_lies_between_two_ranks(
    good: tuple[float, ...], rate: float
) -> None:
    k, n = limit_rank(rate, len(good)), len(good)
    limit = limit_at(rate, good)
    if k == 0:
        assert limit == good[-1]
        return
    assert good[-min(k + 1, n)] <= limit <= good[-k]
    # By the definition of Weibull, an observation's rank stands for rank / (n + 1).
    assert limit == pytest.approx(np.quantile(good, 1 - rate, method="weibull"), abs=1e-9)


def test_a_whole_number_of_steps_is_the_score_itself() -> None:
    for n in range(3, 2000):
        good = [*range(n)]
        for k in {1, 2, n // 3 or 1, (n + 1) // 2}:
            for rate in (k / (n + 1), math.nextafter(k / (n + 1), 1)):
                if rate <= 0.5:
                    assert limit_at(rate, good) == good[-k]


def test_rounding_leaves_the_limit_between_the_two_scores() -> None:
    good = sorted(np.random.default_rng(0).random(45).tolist())
    below = 0.3913043478260869  # an ulp below 18 of 46
    assert good[-18] <= limit_at(below, good) <= good[-17]


def test_the_groups_bound_counts_the_score_below_the_limit() -> None:
    pair = [2, *[1] * 38]  # 0.06 of 41 is 2.46 steps
    assert guaranteed_rate(0.06, pair) == (3 + 2 - 1) / 41
    assert guaranteed_rate(2 / 41, pair) == (2 + 2 - 1) / 41


def test_of_images_in_groups_the_limit_is_a_score() -> None:
    sizes, good = [2] * 20, [*range(40)]
    assert limit_at(0.06, good, grouped=in_groups(sizes)) == 38
    assert guaranteed_rate(0.06, sizes) == (2 + 2 - 1) / 41


@pytest.mark.parametrize(("n", "rate"), [(24, 0.05), (40, 0.06), (150, 0.01), (180, 0.01)])
def test_the_rate_is_met_where_the_density_falls(n: int, rate: float) -> None:
    """The mean over draws, of uniform scores all of it, where the rank alone leaves up to half."""
    drawn = np.sort(np.random.default_rng(0).random((10_000, n)))
    limits = [limit_at(rate, good) for good in drawn]
    assert 1 - np.mean(limits) == pytest.approx(rate, rel=0.03)
    # Exponential scores of the same ranks: the share above them is convex.
    exponential = [limit_at(rate, good) for good in -np.log1p(-drawn)]
    met = np.mean(np.exp(-np.array(exponential)))
    assert limit_rank(rate, n) / (n + 1) < met < rate


@given(
    good=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40),
    scores=st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=6),
    gain=st.floats(0.01, 100),
    shift=st.floats(-100, 100),
)
def test_times_the_limit_rises_with_the_score_and_knows_no_units(
    good: list[float], scores: list[float], gain: float, shift: float
) -> None:
    middle, limit = median(good), max(good)
    if limit - middle < 1e-3:  # or none: see below
        return
    times = [times_limit(s, middle, limit) for s in sorted(scores)]
    assert times == sorted(times, key=lambda t: t or 0.0)
    assert times_limit(limit, middle, limit) == 1.0
    assert times_limit(middle, middle, limit) == 0.0
    moved = [gain * value + shift for value in (max(scores), middle, limit)]
    assert times_limit(*moved) == pytest.approx(times[-1], rel=1e-6, abs=1e-6)


def test_without_a_distance_to_measure_by_there_is_no_figure() -> None:
    assert times_limit(5.0, 2.0, 2.0) is None  # one good image, or all alike
    assert times_limit(5.0, 2.0, 1.0) is None
    assert times_limit(1e308, 0.0, 5e-324) is None  # more than a number can hold


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=2, max_size=9), RATES)
@example([[0, 9, 9, 9], [1], [2], [3]], 0.3)
def test_the_bound_for_new_groups_holds_whatever_is_in_them(
    groups: list[list[int]], rate: float
) -> None:
    """Each in turn is the new one, as exchangeable groups are: no arrangement stops more images."""
    stopped, bounds = 0, []
    for at, new in enumerate(groups):
        others = [*groups[:at], *groups[at + 1 :]]
        scores = sorted(score for other in others for score in other)
        sizes = [len(other) for other in others]
        limit = limit_at(rate, scores, grouped=in_groups(sizes))
        stopped += sum(score > limit for score in new)
        bounds.append(guaranteed_rate(rate, sizes))
    n = sum(map(len, groups))
    if n == len(groups):  # single images, whatever their scores
        bounds = [(max(limit_rank(rate, n - 1), 1) + (n > 2)) / n]
    assert stopped / n <= max(bounds)


@pytest.mark.parametrize("rate", [1e-12, 3e-16, 2**-52, 1e-17, 5.1e-295, 5e-324])
def test_a_rate_that_no_set_of_images_reaches_is_told_at_once(rate: float) -> None:
    needed = images_needed(rate)
    assert 0.9 / rate <= needed or needed >= 10**300
    calibration = calibrate(CalibrationRecord("nut", score=s, peak=s) for s in range(99))
    assert calibration.at(false_alarm_rate=rate).notes()
