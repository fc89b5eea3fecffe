"""Power at a limit against loops over every threshold, with ties, one class and infinite limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from blemish.errors import DataError
from blemish.metrics import Power, power

# Few distinct values, so that ties within and across the classes and with the limit are the rule.
VALUES = st.sampled_from([-math.inf, -2.0, -0.0, 0.0, 1.0, 1.5, 7.0, math.inf])


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[float], list[bool], float]:
    size = draw(st.integers(0, 14))
    scores = draw(st.lists(VALUES, min_size=size, max_size=size))
    labels = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    return scores, labels, draw(VALUES)


def by_loops(scores: list[float], labels: list[bool], limits: list[float]) -> Power:
    """Every threshold is tried, one image at a time."""
    good = [s for s, bad in zip(scores, labels, strict=True) if not bad]
    bad = [s for s, bad in zip(scores, labels, strict=True) if bad]
    above = [(s > t, bad) for s, t, bad in zip(scores, limits, labels, strict=True)]
    stopped = sum(over and not bad for over, bad in above)
    offered = 0
    for threshold in scores:
        if sum(s >= threshold for s in good) <= stopped:
            offered = max(offered, sum(s >= threshold for s in bad))
    found = sum(over and bad for over, bad in above)
    return Power(found, len(bad), stopped, len(good), offered)


@given(cases())
@settings(max_examples=400, deadline=None)
def test_equal_to_trying_every_threshold(case: tuple[list[float], list[bool], float]) -> None:
    scores, labels, limit = case
    measured = power(scores, np.asarray(labels, bool), limits=limit)
    assert measured == by_loops(scores, labels, [limit] * len(scores))
    assert measured.found <= measured.offered  # the limit is one of the thresholds


@given(cases(), st.lists(VALUES, min_size=14, max_size=14))
@settings(max_examples=200, deadline=None)
def test_a_limit_for_every_image(
    case: tuple[list[float], list[bool], float], several: list[float]
) -> None:
    scores, labels, _ = case
    limits = several[: len(scores)]
    measured = power(scores, np.asarray(labels, bool), limits=limits)
    assert measured == by_loops(scores, labels, limits)


def test_a_limit_too_high_wastes_what_the_roc_offers() -> None:
    scores = [1, 2, 3, 4, 2.5, 3.5, 5, 6]
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    measured = power(scores, labels, limits=5.5)
    assert measured == (1, 4, 0, 4, 2)
    assert (measured.found_share, measured.stopped_share) == (0.25, 0.0)
    assert (measured.roc_recall, measured.wasted) == (0.5, 0.25)


def test_a_tied_defect_is_reached_only_with_its_good_image() -> None:
    assert power([3, 2, 3, 3], [0, 0, 1, 1], limits=3).offered == 0
    assert power([3, 2, 3, 3], [0, 0, 1, 1], limits=2.5).offered == 2


def test_infinite_limits_stop_nothing_or_all() -> None:
    scores, labels = [1, 2, 3, 4], [0, 1, 0, 1]
    assert power(scores, labels, limits=math.inf) == (0, 2, 0, 2, 1)
    assert power(scores, labels, limits=-math.inf) == (2, 2, 2, 2, 2)
    beyond = power([1, math.inf], [0, 1], limits=math.inf)  # nothing is above infinity
    assert (beyond.found, beyond.offered) == (0, 1)


def test_without_defects_or_good_images_there_is_no_recall_of_the_roc() -> None:
    good = power([1, 2], [0, 0], limits=1.5)
    assert good.stopped_share == 0.5
    assert all(map(math.isnan, (good.found_share, good.roc_recall, good.wasted)))
    defective = power([1, 2], [1, 1], limits=1.5)
    assert defective.found_share == 0.5
    assert all(map(math.isnan, (defective.stopped_share, defective.roc_recall, defective.wasted)))
    nothing = power([], [], limits=1.0)
    assert all(map(math.isnan, (nothing.found_share, nothing.stopped_share, nothing.wasted)))


@pytest.mark.parametrize(
    ("scores", "limits", "message"),
    [
        ([1.0, math.nan], 1.0, "NaN"),
        ([1.0, 2.0], math.nan, "limit is NaN"),
        ([1.0, 2.0], [1.0, math.nan], "limit is NaN"),
        ([1.0, 2.0], [1.0], "one limit for"),
    ],
)
def test_what_is_no_number_is_refused(
    scores: list[float], limits: float | list[float], message: str
) -> None:
    given_limits: NDArray[np.float64] | float = (
        limits if isinstance(limits, float) else np.asarray(limits)
    )
    with pytest.raises(DataError, match=message):
        power(scores, [0, 1], limits=given_limits)
