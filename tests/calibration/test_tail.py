"""The estimated limit: what it is for, what it keeps, and that nobody takes it for a promise."""

from __future__ import annotations

import numpy as np
import pytest

from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.calibration.tail import FEWEST, estimated_limit

RNG = np.random.default_rng(0)


def records(scores: np.ndarray, product: str | None = "nut") -> list[CalibrationRecord]:
    return [CalibrationRecord(product, s, 2 * s, {"logical": -s}) for s in scores.tolist()]


@pytest.mark.parametrize("n", [8, 25, 98])
def test_the_rate_is_met_on_average_where_the_tail_is_exponential(n: int) -> None:
    draws = np.sort(RNG.exponential(3.0, (6_000, n)) - 7.0, axis=1)  # any scale, any zero
    limits = np.array([estimated_limit(scores.tolist(), 0.01) for scores in draws])
    # The limit is never put below the largest score, which is what keeps it a little above.
    realised = np.exp(-(limits + 7.0) / 3.0)
    standard_error = realised.std() / len(draws) ** 0.5
    assert 0.006 < realised.mean() < 0.01 + 3 * standard_error
    assert (limits >= draws[:, -1]).all()
    largest = np.exp(-(draws[:, -1] + 7.0) / 3.0).mean()
    assert n == 98 or largest > 2 * realised.mean()  # what it is for


def test_it_is_asked_for_never_given_and_kept_until_taken_back() -> None:
    few = records(np.arange(42.0))
    plain = calibrate(few)
    assert plain.limits("nut").defect == 41.0
    assert not plain.limits("nut").estimated
    asked = plain.at(estimate=True)
    limits = asked.limits("nut")
    assert limits.defect == estimated_limit([float(s) for s in range(42)], 0.01) > 45.0
    assert (limits.estimated, limits.defect_rate) == (True, 1 / 43)  # the bound that is proven
    assert limits.unsure == plain.limits("nut").unsure  # 5 % needs no estimate
    assert limits.map == plain.limits("nut").map
    assert limits.map_scale[1] > plain.limits("nut").map_scale[1]
    assert asked.judge(43.0, "nut") == (1 / 43, "unsure")
    assert plain.judge(43.0, "nut").verdict == "defect"
    assert asked.judge_branches({"logical": 0.5}, "nut")["logical"].verdict == "unsure"
    again = calibrate(few, current=asked, false_alarm_rate=0.005)
    assert again.limits("nut").estimated
    assert calibrate(few, current=asked, estimate=False) == plain
    assert asked.at(false_alarm_rate=0.1).limits("nut") == plain.at(false_alarm_rate=0.1).limits(
        "nut"
    )  # enough for 10 %


def test_it_is_called_an_estimate_and_says_what_is_guaranteed() -> None:
    asked = calibrate(records(np.arange(42.0)), estimate=True)
    assert asked.notes() == [
        "1 % needs at least 99 good images, 42 were given: the limit is an estimate from the tail "
        "of their scores. Guaranteed is a false-alarm rate of at most 2.3 %."
    ]
    few = calibrate(records(np.arange(FEWEST - 1.0)), estimate=True)
    assert not few.limits("nut").estimated  # too few for any tail
    assert not any("estimate" in note for note in few.notes())


def test_equal_scores_have_no_tail() -> None:
    asked = calibrate(records(np.zeros(20)), estimate=True)
    assert asked.limits("nut").defect == 0.0


def test_files_say_it_only_where_it_is_so() -> None:
    plain = calibrate(records(np.arange(42.0)))
    assert "estimate" not in plain.to_json()  # the digest of limits in use stays what it was
    asked = plain.at(estimate=True)
    assert Calibration.from_json(asked.to_json()) == asked
    assert asked.version != plain.version
