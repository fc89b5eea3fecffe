"""The drift alarm: its promise by simulation, and that it rings."""

from __future__ import annotations

import numpy as np
import pytest

from blemish.calibration.drift import DriftMartingale
from blemish.errors import CalibrationError


def rings(before: np.ndarray, after: np.ndarray, rate: float, limit: float = np.inf) -> int:
    watch = DriftMartingale(before, limit)
    for number, score in enumerate(after, 1):
        watch.add(score)
        if watch.rings(rate):
            return number
    return 0


def test_it_stays_silent_while_nothing_changes() -> None:
    rng = np.random.default_rng(1)
    false = 0
    for _ in range(200):
        scores = rng.gamma(2, size=1200)
        false += rings(scores[:100], scores[100:], 0.05) > 0
    assert false <= 17  # of 200 at a rate of at most 5 %: more has a probability below 1 %


def test_defects_do_not_ring_it_nor_does_a_limit_of_their_own() -> None:
    rng = np.random.default_rng(2)
    false = 0
    for _ in range(100):
        good = rng.gamma(2, size=1300)
        limit = float(np.sort(good[:100])[-5])  # as calibration sets it, from the same images
        line = good[100:].copy()
        line[rng.random(1200) < 0.05] += 20  # one part in twenty is defective
        false += rings(good[:100], line, 0.05, limit) > 0
    assert false <= 10


@pytest.mark.parametrize("shift", [0.5, -0.5])
def test_it_rings_soon_when_scores_rise_or_fall(shift: float) -> None:
    rng = np.random.default_rng(3)
    times = [rings(rng.normal(size=200), rng.normal(shift, size=1500), 0.01) for _ in range(20)]
    assert min(times) > 0
    assert np.median(times) < 400


def test_equal_scores_are_ranked_by_chance() -> None:
    watch = DriftMartingale([1.0] * 50)
    for _ in range(2000):
        watch.add(1.0)
    assert not watch.rings(0.01)
    assert watch.seen == 2000


def test_what_is_not_below_the_limit_does_not_count() -> None:
    watch = DriftMartingale(range(20), limit=15)
    for score in (15, 99, float("nan"), float("inf")):
        watch.add(score)
    assert (watch.seen, watch.evidence) == (0, 0.0)
    watch.add(14)
    assert watch.seen == 1


def test_too_few_good_scores_are_refused() -> None:
    with pytest.raises(CalibrationError, match="9 are below the limit"):
        DriftMartingale(range(20), limit=9)
