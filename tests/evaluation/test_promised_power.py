"""Power of an evaluation: by the limits of the product as judged, at rates of its own."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.data.sample import Sample
from blemish.evaluation.as_json import evaluation_json
from blemish.evaluation.evaluator import Evaluation, Evaluator
from blemish.evaluation.promised_power import (
    RATES,
    PromisedLimits,
    mean_power,
    promised_power,
    shortfalls,
)
from blemish.results import Prediction


def good_scores(rate: float = 0.01, /, **counts: int) -> Calibration:
    """Good images of each product with the scores 1, 2, 3 …"""
    records = [
        CalibrationRecord(product, score=float(s), peak=float(s))
        for product, n in counts.items()
        for s in range(1, n + 1)
    ]
    return calibrate(records, false_alarm_rate=rate)


def measured(
    calibration: Calibration | None, *given: tuple[str, str, float], judged: str | None = None
) -> Evaluation:
    """The evaluation of images given as product, kind and score."""
    evaluator = Evaluator(calibration=calibration)
    for product, kind, score in given:
        sample = Sample(Path("x.png"), product, "test", int(kind != "good"), kind)
        amap = np.zeros((4, 4), np.float32)
        as_product = judged or product
        verdict = None if calibration is None else calibration.judge(score, as_product).verdict
        evaluator.add(sample, Prediction(None, as_product, score, amap, verdict=verdict))
    return evaluator.compute()


def test_limits_at_both_rates_whatever_the_model_runs_at() -> None:
    # Of 99 good scores the limit is the largest at 1 %, the fifth from above, 95, at 5 %.
    given = [("nut", "good", 94.0), ("nut", "good", 95.5), ("nut", "good", 99.5)]
    given += [("nut", "dent", s) for s in (95.0, 96.0, 99.0, 100.0)]
    for rate in (0.01, 0.2):
        (nut,) = measured(good_scores(rate, nut=99), *given).products
        one, five = nut.power
        assert (one.rate, one.guaranteed, one.short) == (0.01, 0.01, False)
        assert one.counts == (1, 4, 1, 3, 3)  # at the price of 99.5 a limit of 95.5 finds three
        assert (five.rate, five.guaranteed, five.short) == (0.05, 0.05, False)
        assert five.counts == (3, 4, 2, 3, 4)  # the defect at 95 is on the limit, not above it
        assert five.stopped_share == pytest.approx(2 / 3)


def test_at_the_models_own_rate_they_are_its_verdicts() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(90, 8, 60).tolist()
    given = [("nut", ("good", "dent")[i % 2], s) for i, s in enumerate(scores)]
    for index, rate in enumerate(RATES):
        for n in (42, 120):  # too few for 1 %, and enough
            (nut,) = measured(good_scores(rate, nut=n), *given).products
            assert nut.operating is not None
            counts = nut.power[index].counts
            assert counts is not None
            assert (counts.found, counts.stopped) == (nut.operating.tp, nut.operating.fp)


def test_what_too_few_good_images_guarantee_is_marked() -> None:
    (nut,) = measured(good_scores(nut=42), ("nut", "good", 1.0), ("nut", "dent", 42.5)).products
    one, five = nut.power
    assert one.guaranteed == pytest.approx(1 / 43)
    assert one.short
    assert one.found_share == 1.0  # the limit used is the largest good score, 42
    assert five.guaranteed == 0.05
    assert not five.short
    assert shortfalls([("nut", nut.power)]) == [
        "Too few good images for 1 %: the limit is the largest good score; guaranteed: nut 2.3 %."
    ]


def test_an_estimated_limit_is_called_one() -> None:
    asked = good_scores(0.01, nut=42).at(estimate=True)
    given = [("nut", "good", 5.0), ("nut", "dent", 43.0), ("nut", "dent", 1000.0)]
    (nut,) = measured(asked, *given).products
    one, five = nut.power
    assert (one.found_share, one.guaranteed, one.estimated) == (0.5, 1 / 43, True)
    assert (five.found_share, five.estimated) == (1.0, False)
    assert one.figures()["estimated"] is True
    assert shortfalls([("nut", nut.power)]) == [
        "Too few good images for 1 %: the limit is an estimate from their tail; guaranteed: "
        "nut 2.3 %."
    ]


def test_each_image_by_the_limits_of_the_product_it_was_judged_as() -> None:
    calibration = good_scores(nut=99, bolt=9)
    own = measured(calibration, ("nut", "good", 5.0), ("nut", "dent", 50.0))
    assert own.products[0].power[0].found_share == 0.0
    taken = measured(calibration, ("nut", "good", 5.0), ("nut", "dent", 50.0), judged="bolt")
    (nut,) = taken.products
    assert nut.power[0].found_share == 1.0
    assert nut.power[0].guaranteed == pytest.approx(0.1)


def test_pooled_limits_guarantee_nothing() -> None:
    evaluation = measured(good_scores(nut=99, bolt=9), ("cap", "good", 5.0), ("cap", "dent", 100.0))
    (cap,) = evaluation.products
    assert cap.power[0].guaranteed is None
    assert cap.power[0].short
    assert cap.power[0].found_share == 1.0
    assert shortfalls([("cap", cap.power)]) == [
        "Limits pooled over all products guarantee nothing for: cap."
    ]


def test_the_mean_is_over_the_products_that_have_the_share() -> None:
    calibration = good_scores(nut=99, bolt=42, cap=19)
    evaluation = measured(
        calibration,
        ("nut", "good", 1.0),
        ("nut", "dent", 99.5),
        ("nut", "dent", 98.0),
        ("bolt", "good", 50.0),
        ("bolt", "dent", 45.0),
        ("bolt", "dent", 51.0),
        ("cap", "good", 1.0),
    )
    at_one = evaluation.power[0]
    assert at_one.found_share == pytest.approx((1 / 2 + 1) / 2)
    assert at_one.stopped_share == pytest.approx((0 + 1 + 0) / 3)
    assert at_one.roc_recall == pytest.approx(1.0)
    assert at_one.wasted == pytest.approx((1 / 2 + 0) / 2)
    assert at_one.guaranteed == pytest.approx((1 / 100 + 1 / 43 + 1 / 20) / 3)
    assert at_one.counts is None


def test_without_calibration_there_is_no_power() -> None:
    evaluation = measured(None, ("nut", "good", 1.0), ("nut", "dent", 2.0))
    assert evaluation.power == evaluation.products[0].power == ()
    content = json.loads(evaluation_json(evaluation))
    assert content["mean_power"] == content["products"]["nut"]["power"] == []
    assert mean_power([]) == ()


def test_json_has_every_figure_and_null_where_there_is_none() -> None:
    evaluation = measured(good_scores(nut=42), ("nut", "dent", 42.5), ("nut", "dent", 1.0))
    content = json.loads(evaluation_json(evaluation))
    assert content["products"]["nut"]["power"][0] == {
        "false_alarm_rate": 0.01,
        "guaranteed_rate": 1 / 43,
        "found": 1,
        "defective": 2,
        "stopped": 0,
        "good": 0,
        "offered": 2,
        "found_share": 0.5,
        "stopped_share": None,
        "roc_recall": None,
        "wasted": None,
    }
    assert [power["false_alarm_rate"] for power in content["mean_power"]] == list(RATES)
    assert content["mean_power"][1]["found_share"] == 0.5
    assert "found" not in content["mean_power"][1]


def test_infinite_scores_are_counted() -> None:
    evaluator = Evaluator(calibration=good_scores(nut=99))
    for label, score in ((0, -math.inf), (1, math.inf)):
        sample = Sample(Path("x.png"), "nut", "test", label)
        evaluator.add(sample, Prediction(None, "nut", score, np.zeros((4, 4), "f4")))
    assert evaluator.compute().power[0].found_share == 1.0


def test_groups_are_named_as_the_cause() -> None:
    lots = [CalibrationRecord("nut", s, s, group=f"lot{s // 10}") for s in range(200)]
    judged = Prediction(None, "nut", 1.0, np.zeros((4, 4), "f4"))
    limits = PromisedLimits(calibrate(lots)).of(judged)
    measured = promised_power([1, 250], [0, 1], [limits, limits])
    assert [power.grouped for power in measured] == [True, True]
    assert shortfalls([("nut", measured)]) == [
        "Too few groups of good images to hold 1 % of new ones for sure; guaranteed: nut 5.5 %.",
        "Too few groups of good images to hold 5 % of new ones for sure; guaranteed: nut 9.5 %.",
    ]
