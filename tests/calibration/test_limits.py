from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.errors import CalibrationError, ConfigError
from blemish.results import Branch


def records_of(scores: object, product: str | None = None, **more: float) -> list:
    return [
        CalibrationRecord(
            product, s, peak=10.0 * s, branches={"structural": s, "logical": -s}, **more
        )
        for s in np.asarray(scores, np.float64).tolist()
    ]


HUNDRED = records_of(np.arange(1.0, 100.0))  # 1 … 99: p-values are hundredths


def test_verdicts_change_at_the_stated_rates() -> None:
    calibration = calibrate(HUNDRED)
    limits = calibration.limits()
    assert (limits.defect, limits.unsure) == (99.0, 95.0)
    assert (limits.defect_rate, limits.unsure_rate, limits.n) == (0.01, 0.05, 99)
    assert calibration.judge(99.0) == (0.02, "unsure")  # equal to the limit is not above it
    assert calibration.judge(math.nextafter(99.0, 100)) == (0.01, "defect")
    assert calibration.judge(95.0) == (0.06, "ok")
    assert calibration.judge(math.nextafter(95.0, 96)) == (0.05, "unsure")
    assert calibration.judge(-1e9) == (1.0, "ok")
    assert calibration.notes() == []


@given(
    scores=st.lists(st.integers(0, 5).map(float), min_size=1, max_size=80),
    new=st.integers(-1, 6).map(float),
    alarm=st.floats(0.001, 0.5),
    factor=st.floats(1, 10),
)
def test_verdict_p_value_and_limits_agree(
    scores: list[float], new: float, alarm: float, factor: float
) -> None:
    unsure = min(alarm * factor, 0.5)
    calibration = calibrate(records_of(scores), false_alarm_rate=alarm, unsure_rate=unsure)
    limits = calibration.limits()
    p, verdict = calibration.judge(new)
    step = 1 / (len(scores) + 1)
    for reached, limit, rate, asked in (
        (verdict == "defect", limits.defect, limits.defect_rate, alarm),
        (verdict != "ok", limits.unsure, limits.unsure_rate, unsure),
    ):
        assert reached == (new > limit)
        assert rate == max(asked, step)
        # A p-value is a whole number of steps, and the limit lies within one.
        assert reached or p > rate
        assert not reached or p < rate + step + 1e-9


def test_the_unsure_rate_follows_the_false_alarm_rate() -> None:
    assert calibrate(HUNDRED, false_alarm_rate=0.07).unsure_rate == 0.35  # not 0.35000000000000003
    assert calibrate(HUNDRED, false_alarm_rate=0.2).unsure_rate == 0.5
    assert calibrate(HUNDRED, unsure_rate=0.02).limits().unsure == 98.0


@pytest.mark.parametrize("rate", [0.0, -0.1, 0.51, math.nan, math.inf])
def test_rates_outside_the_range_are_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="above 0 and at most"):
        calibrate(HUNDRED, false_alarm_rate=rate)
    with pytest.raises(ConfigError, match=r"at most 0\.5"):
        calibrate(HUNDRED).at(unsure_rate=rate)


def test_an_unsure_rate_below_the_false_alarm_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least the false-alarm rate"):
        calibrate(HUNDRED, false_alarm_rate=0.1, unsure_rate=0.05)


def test_moving_to_another_rate_equals_calibrating_at_it() -> None:
    moved = calibrate(HUNDRED).at(false_alarm_rate=0.1)
    assert moved == calibrate(HUNDRED, false_alarm_rate=0.1)
    assert moved.limits().defect == 90.0
    assert calibrate(HUNDRED).limits().defect == 99.0


# Too few images


def test_too_few_images_are_said_plainly() -> None:
    calibration = calibrate(records_of(range(42)))
    assert calibration.limits().defect == 41.0
    assert calibration.limits().defect_rate == 1 / 43
    assert calibration.judge(41.5) == (1 / 43, "defect")
    assert calibration.judge(41.0).verdict == "unsure"
    assert calibration.notes() == [
        "1 % needs at least 99 good images, 42 were given: the limit used has a false-alarm rate "
        "of at most 2.3 %."
    ]


def test_one_image_still_gives_an_answer_and_three_notes() -> None:
    calibration = calibrate(records_of([5.0]))
    assert calibration.judge(5.0).verdict == "ok"
    assert calibration.judge(5.1) == (0.5, "defect")
    alarm, unsure, never = calibration.notes()
    assert "1 % needs at least 99 good images, 1 was given" in alarm
    assert "5 % needs at least 19 good images, 1 was given" in unsure
    assert "at most 50 %" in unsure
    assert "never 'unsure'" in never


@pytest.mark.parametrize("n", [1, 18, 19, 20, 24, 40])
def test_that_both_limits_are_the_same_is_said_where_they_are(n: int) -> None:
    calibration = calibrate(records_of(range(n)))
    limits = calibration.limits()
    said = any("both limits are the same" in note for note in calibration.notes())
    assert said == (limits.defect == limits.unsure)
    alike = calibrate(records_of([*range(22), 30, 30]))  # the two largest are one score
    assert any("both limits are the same" in note for note in alike.notes())


def test_a_model_that_tells_nothing_apart_is_noticed() -> None:
    calibration = calibrate(records_of([2.0] * 200))
    assert calibration.judge(2.0) == (1.0, "ok")
    assert any("all 200 good images have the same score" in note for note in calibration.notes())


# Products


def two_products() -> Calibration:
    return calibrate(
        records_of(np.arange(1.0, 100.0), "nut") + records_of(np.arange(1001.0, 1101.0), "bolt")
    )


def test_each_product_has_its_own_limits() -> None:
    calibration = two_products()
    assert calibration.products == ("bolt", "nut")
    assert calibration.judge(500.0, "nut").verdict == "defect"
    assert calibration.judge(500.0, "bolt").verdict == "ok"
    assert calibration.limits("nut").product == "nut"
    assert not calibration.limits("nut").pooled


def test_unknown_products_are_judged_by_the_pooled_limits_and_named() -> None:
    calibration = two_products()
    pooled = calibration.limits("gear")
    assert pooled.pooled
    assert pooled == calibration.limits(None)
    assert pooled.n == 199
    assert pooled.defect == 1099.0  # second largest of 199
    assert calibration.judge(500.0, "gear") == (101 / 200, "ok")
    (note,) = calibration.notes(asked=["nut", "gear"])
    assert note.startswith("Not calibrated: gear. Such images are judged by the limits pooled")
    (note,) = calibration.notes(asked=["nut", None])
    assert note.startswith("Images of which no product is known are judged by the limits pooled")
    assert calibration.notes(asked=["nut"]) == []


def test_notes_speak_of_the_limits_that_judged() -> None:
    calibration = calibrate(records_of(range(20), "nut") + records_of(range(30), "bolt"))
    assert {note.split(":")[0] for note in calibration.notes(asked=["nut"])} == {"nut"}
    pooled = calibration.notes(asked=[None])
    assert pooled[0].startswith("all products together: 1 % needs at least 99 good images, 50 were")
    assert not any(note.startswith(("nut", "bolt")) for note in pooled)


def test_notes_name_the_product() -> None:
    notes = calibrate(records_of(range(100), "nut") + records_of(range(19), None)).notes()
    assert len(notes) == 2  # the false-alarm rate, and both limits the same
    assert all(note.startswith("images of unknown product: ") for note in notes)


# Maps


def test_map_limit_is_the_limit_of_the_peaks_at_the_unsure_rate() -> None:
    calibration = calibrate(records_of(np.arange(1.0, 100.0), map_low=2.0))
    assert calibration.limits().map == 950.0
    good_maps = [np.full((2, 2), 10.0 * s, np.float32) for s in range(1, 100)]
    assert sum(bool(calibration.mask(m).any()) for m in good_maps) == 4  # of 99: below 5 %


def test_map_scale_is_fixed_by_good_images() -> None:
    low, high = calibrate(records_of(np.arange(1.0, 100.0), map_low=2.0)).limits().map_scale
    assert low == 2.0
    assert (low + high) / 2 == 990.0  # the peaks' limit at the false-alarm rate is at 50 %
    flat = [CalibrationRecord(None, 0.1, peak=0.5, map_low=0.5) for _ in range(5)]
    assert calibrate(flat).limits().map_scale == (0.5, 1.5)


def test_mask_is_exact_where_float32_cannot_hold_the_limit() -> None:
    below = np.float32(0.1)  # 0.100000001…, above the float64 0.1
    calibration = calibrate([CalibrationRecord(None, 1.0, peak=0.1)])
    amap = np.array([[np.nextafter(below, np.float32(0)), below]], np.float32)
    assert calibration.mask(amap).tolist() == [[False, True]]
    assert [float(v) > 0.1 for v in amap[0]] == [False, True]


# Branches


def test_branches_are_judged_each_at_the_same_rates() -> None:
    judged = calibrate(HUNDRED).judge_branches({"structural": 99.5, "logical": -50.0})
    assert judged["structural"] == Branch(99.5, 0.01, "defect", 49.5 / 49)
    assert judged["logical"] == Branch(-50.0, (1 + 50) / 100, "ok", 0.0)


def test_a_branch_that_was_not_calibrated_has_a_score_and_no_verdict() -> None:
    assert calibrate(HUNDRED).judge_branches({"colour": 1.0}) == {"colour": Branch(1.0)}


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_gets_no_verdict(score: float) -> None:
    with pytest.raises(CalibrationError, match="not a finite number"):
        calibrate(HUNDRED).judge(score)
    with pytest.raises(CalibrationError, match="not a finite number"):
        calibrate(HUNDRED).judge_branches({"logical": score})


# Storage


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20))
def test_json_gives_every_score_back_to_the_last_bit(scores: list[float]) -> None:
    calibration = calibrate(records_of(scores, "nut"), false_alarm_rate=0.02)
    text = json.dumps(calibration.to_json(), allow_nan=False)
    back = Calibration.from_json(json.loads(text))
    assert back == calibration
    assert back.groups[0].scores == tuple(sorted(scores))
    assert back.limits("nut") == calibration.limits("nut")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"false_alarm_rate": 0.9}, "false_alarm_rate"),
        ({"unsure_rate": 0.001}, "below the false-alarm rate"),
        ({"groups": []}, "no good images"),
        ({"colour": 1}, "colour"),
    ],
)
def test_altered_json_is_refused(change: dict, what: str) -> None:
    with pytest.raises(CalibrationError, match=f"(?s){what}.*Calibrate the model again"):
        Calibration.from_json({**calibrate(HUNDRED).to_json(), **change})


@pytest.mark.parametrize(
    ("field", "values", "what"),
    [
        ("scores", [2.0, 1.0, 3.0], "ascending"),
        ("peaks", [1.0], "another kind"),
        ("scores", [], "no scores"),
        ("map_lows", [0.0, 0.0, math.nan], "finite"),
    ],
)
def test_altered_scores_are_refused(field: str, values: list, what: str) -> None:
    content = calibrate(records_of([1.0, 2.0, 3.0])).to_json()
    content["groups"][0][field] = values
    with pytest.raises(CalibrationError, match=what):
        Calibration.from_json(content)


# The guarantee

Draw = Callable[[np.random.Generator, int], np.ndarray]
CONTINUOUS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "lognormal": lambda rng, n: rng.lognormal(sigma=2.0, size=n),
}
TIES: dict[str, Draw] = {
    "poisson": lambda rng, n: rng.poisson(2.0, size=n).astype(float),
    "half zeros": lambda rng, n: np.maximum(rng.normal(size=n), 0.0),
}


def realised_rates(draw: Draw, n: int, rate: float, draws: int) -> np.ndarray:
    """False-alarm rate on fresh good images, one value per calibration set. (draws,)"""
    rng = np.random.default_rng(7)
    fresh = draw(rng, 200_000)
    limits = [
        calibrate(
            [CalibrationRecord(None, s, s) for s in draw(rng, n).tolist()], false_alarm_rate=rate
        )
        .limits()
        .defect
        for _ in range(draws)
    ]
    fresh.sort()
    return 1 - np.searchsorted(fresh, limits, side="right") / len(fresh)


@pytest.mark.parametrize("n", [24, 59])
@pytest.mark.parametrize("name", [*CONTINUOUS, *TIES])
def test_the_false_alarm_rate_holds_on_average_over_calibration_sets(name: str, n: int) -> None:
    rate, draws = 0.1, 800
    whole = math.floor(rate * (n + 1) + 1e-9)
    realised = realised_rates({**CONTINUOUS, **TIES}[name], n, rate, draws)
    error = 4 * realised.std() / math.sqrt(draws)
    if name in CONTINUOUS:
        assert whole / (n + 1) - error <= realised.mean() <= rate + error
    else:  # a score that is a step has no density
        assert realised.mean() <= (whole + 1) / (n + 1) + error


def test_the_runtime_part_imports_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, blemish.calibration.limits; "
        "print({'torch', 'scipy', 'sklearn'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_figure_beyond_the_limit_goes_on_where_the_p_value_ends() -> None:
    limits = calibrate(HUNDRED).limits()  # median 50, limit 99
    assert [limits.times(s) for s in (50.0, 99.0, 148.0, 2010.0)] == [0.0, 1.0, 2.0, 40.0]
    far, farther = (calibrate(HUNDRED).judge(s).p_value for s in (148.0, 2010.0))
    assert far == farther == 0.01
    logical = calibrate(HUNDRED).judge_branches({"logical": 48.0})["logical"]  # good: -99 … -1
    assert logical.times_limit == 2.0
    assert calibrate(records_of([3.0])).limits().times(9.0) is None
