from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from stand_in import limits_at

from blemish.report.promise import check_promise, p_value_band


def test_the_chance_is_what_happens_to_exchangeable_scores() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20_000, 19 + 10))
    limit = np.sort(scores[:, :19], axis=1)[:, -2]  # the second largest
    alarms = (scores[:, 19:] > limit[:, None]).sum(axis=1)
    limits = limits_at(5.0, n=19).at(false_alarm_rate=0.1).limits("nut")
    for number in range(11):
        check = check_promise(limits, good=10, alarms=number)
        assert check.chance == pytest.approx((alarms >= number).mean(), abs=0.012)


def test_a_kept_promise_and_a_broken_one() -> None:
    limits = limits_at(5.0).limits("nut")  # 99 images, so 1 %
    kept = check_promise(limits, good=20, alarms=1)
    assert kept.promised == 0.01
    assert kept.kept is True
    assert kept.realised.estimate == 0.05
    assert kept.usual == 2
    broken = check_promise(limits, good=20, alarms=3)
    assert broken.kept is False
    assert broken.chance == pytest.approx(stats.betabinom(20, 1, 99).sf(2))  # three or more
    assert broken.chance < 0.025 < kept.chance
    assert check_promise(limits, good=20, alarms=3, unsure=True).kept is True  # that one is 5 %


def test_few_calibration_images_excuse_more_alarms() -> None:
    few = check_promise(limits_at(5.0, n=19).limits("nut"), good=20, alarms=3)
    assert few.promised == 0.05
    assert few.kept is True
    assert few.chance == pytest.approx(stats.betabinom(20, 1, 19).sf(2))


def test_pooled_limits_promise_nothing() -> None:
    limits = limits_at(5.0, products=("nut", "bolt")).limits("washer")
    check = check_promise(limits, good=20, alarms=20)
    assert check.promised is None
    assert check.kept is None


def test_without_good_images_nothing_is_said() -> None:
    assert check_promise(limits_at(5.0).limits("nut"), good=0, alarms=0).kept is None


def test_even_p_values_stay_in_the_band() -> None:
    alpha, low, high = p_value_band(50, 200)
    assert len(alpha) == 60
    assert (low <= alpha).all()
    assert (alpha <= high).all()
    rng = np.random.default_rng(1)
    outside = 0
    for _ in range(200):
        calibration, test = rng.random(200), rng.random(50)
        p = (1 + (calibration[None] >= test[:, None]).sum(axis=1)) / 201
        share = (p[None] <= alpha[:, None] + 1e-12).mean(axis=1)
        outside += int((share[30] < low[30]) or (share[30] > high[30]))
    assert outside / 200 < 0.1
