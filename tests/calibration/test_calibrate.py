"""The one act of calibration: what joins, replaces or leaves the good images of a product."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.errors import CalibrationError, ConfigError


def records(scores: Sequence[float], product: str | None = "nut") -> list[CalibrationRecord]:
    return [CalibrationRecord(product, s, 2 * s, image=f"{s:g}.png#{s:g}") for s in scores]


@pytest.fixture
def line() -> Calibration:
    """Two products, at rates of its own."""
    both = [*records([1, 2, 3]), *records([10, 20], "bolt")]
    return calibrate(both, false_alarm_rate=0.2, unsure_rate=0.3)


def test_one_product_anew_leaves_the_other_as_it_is(line: Calibration) -> None:
    after = calibrate(records([5, 6]), current=line)
    assert after.limits("nut").n == 2
    assert after.limits("nut").defect == 6
    assert after.limits("bolt") == line.limits("bolt")
    assert (after.false_alarm_rate, after.unsure_rate) == (0.2, 0.3)


def test_a_new_product_comes_beside_the_others(line: Calibration) -> None:
    after = calibrate(records([7], "cap"), current=line)
    assert after.products == ("bolt", "cap", "nut")
    assert after.groups[0] == line.groups[0]


def test_joining_is_calibrating_with_all_of_them(line: Calibration) -> None:
    joined = calibrate(records([9, 4]), current=line, how="join")
    together = calibrate([*records([1, 2, 3, 9, 4]), *records([10, 20], "bolt")])
    assert joined.groups == together.groups


def test_an_image_that_joins_again_counts_once_and_as_it_is_now(line: Calibration) -> None:
    again = CalibrationRecord("nut", 8.0, 16.0, image="renamed.png#2")
    joined = calibrate([again], current=line, how="join")
    nut = joined.groups[1]
    assert nut.scores == (1, 3, 8)
    assert nut.images == ("1.png#1", "3.png#3", "renamed.png#2")
    arrays = [CalibrationRecord("nut", 1.0, 1.0), CalibrationRecord("nut", 1.0, 1.0)]
    assert calibrate(arrays, current=joined, how="join").limits("nut").n == 5  # nobody knows them


def test_excluding_takes_out_the_image_of_its_product_alone(line: Calibration) -> None:
    same = CalibrationRecord("bolt", 0.0, 0.0, image="x.png#10")
    after = calibrate([same], current=line, how="exclude")
    assert after.limits("bolt").n == 1
    assert after.limits("bolt").defect == 20
    assert after.groups[1] == line.groups[1]
    twice = calibrate([same, same], current=line, how="exclude")
    assert twice.groups == after.groups
    anywhere = CalibrationRecord(None, 0.0, 0.0, image="3.png#3")
    assert calibrate([anywhere], current=line, how="exclude").limits("nut").defect == 2
    unknown = calibrate(records([7], None), current=line, how="join")
    assert calibrate([anywhere], current=unknown, how="exclude").limits("nut").defect == 2


def test_a_product_without_any_image_left_is_judged_by_the_pooled_limits(
    line: Calibration,
) -> None:
    after = calibrate(records([10, 20], "bolt"), current=line, how="exclude")
    assert after.products == ("nut",)
    assert after.limits("bolt").pooled


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (records([99]), r"99\.png#99 is not among the good images"),
        ([CalibrationRecord("nut", 1.0, 1.0)], "An image without a file is not among"),
        ([*records([1, 2, 3]), *records([10, 20], "bolt")], "No good image would be left"),
    ],
)
def test_what_cannot_be_excluded_is_refused(
    line: Calibration, given: list[CalibrationRecord], message: str
) -> None:
    with pytest.raises(CalibrationError, match=message):
        calibrate(given, current=line, how="exclude")


@pytest.mark.parametrize("how", ["join", "replace"])
def test_scores_of_another_method_are_refused(line: Calibration, how: str) -> None:
    foreign = [CalibrationRecord("nut", 1.0, 1.0, branches={"logical": 1.0})]
    with pytest.raises(CalibrationError, match="other branches"):
        calibrate(foreign, current=line, how=how)  # type: ignore[arg-type]


def test_another_way_to_calibrate_is_refused(line: Calibration) -> None:
    with pytest.raises(ConfigError, match="Unknown way to calibrate 'merge'"):
        calibrate(records([5]), current=line, how="merge")  # type: ignore[arg-type]


def test_rates_change_where_they_are_asked_for(line: Calibration) -> None:
    after = calibrate(records([5]), current=line, false_alarm_rate=0.05)
    assert (after.false_alarm_rate, after.unsure_rate) == (0.05, 0.25)
    wider = calibrate(records([5]), current=line, unsure_rate=0.4)
    assert (wider.false_alarm_rate, wider.unsure_rate) == (0.2, 0.4)
    assert line.at() == line


def test_the_version_says_which_images_and_rates_judged(line: Calibration) -> None:
    assert line.version == Calibration.from_json(line.to_json()).version
    others = [
        line.at(false_alarm_rate=0.1),
        calibrate(records([5]), current=line, how="join"),
        calibrate([*records([1, 2, 3.5]), *records([10, 20], "bolt")], current=line),
    ]
    assert len({line.version, *(other.version for other in others)}) == 4


def test_a_calibration_says_what_it_is_and_not_every_score(line: Calibration) -> None:
    said = f"<Calibration {line.version}: 5 good images of bolt, nut, at 20 %>"
    assert repr(line) == str(line) == said
    assert repr(line.groups[0]) == "<GoodScores of bolt: 2 images>"
