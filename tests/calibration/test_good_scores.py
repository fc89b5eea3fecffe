from __future__ import annotations

import math
from dataclasses import replace

import pytest

from blemish.calibration.good_scores import (
    CalibrationRecord,
    GoodScores,
    image_identity,
    same_image,
)
from blemish.errors import CalibrationError

GOOD = CalibrationRecord("nut", 1.0, 2.0, {"logical": 3.0}, 0.5, image="a.png")


def test_scores_are_grouped_by_product_and_sorted() -> None:
    records = [
        replace(GOOD, score=3.0, peak=7.0),
        replace(GOOD, product="bolt", score=5.0),
        replace(GOOD, score=1.0, peak=9.0, image=""),
    ]
    bolt, nut = GoodScores.by_product(records)
    assert (bolt.product, bolt.scores) == ("bolt", (5.0,))
    assert (nut.product, nut.scores, nut.peaks) == ("nut", (1.0, 3.0), (9.0, 7.0))
    assert nut.ascending_peaks == (7.0, 9.0)
    assert nut.branches == {"logical": (3.0, 3.0)}
    pooled = GoodScores.of(None, [*bolt.records(), *nut.records()])
    assert (pooled.product, pooled.scores, pooled.n) == (None, (1.0, 3.0, 5.0), 3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["score", "peak", "map_low", "branch"])
def test_a_number_that_is_not_finite_is_refused_by_name(bad: float, field: str) -> None:
    change = {"branches": {"logical": bad}} if field == "branch" else {field: bad}
    broken = replace(GOOD, image="b.png", **change)
    with pytest.raises(CalibrationError, match=rf"image b\.png is {bad}, not a finite"):
        GoodScores.by_product([GOOD, broken])


def test_no_records_and_mixed_branches_are_refused() -> None:
    with pytest.raises(CalibrationError, match="No good images"):
        GoodScores.by_product([])
    with pytest.raises(CalibrationError, match="number 2 has scores of the branches"):
        GoodScores.by_product([GOOD, replace(GOOD, branches={}, image="")])


def test_the_records_come_back_as_they_were_given() -> None:
    records = [
        replace(GOOD, score=3.0, peak=7.0, branches={"logical": 1.0}, image="a.png#1"),
        replace(GOOD, score=1.0, peak=9.0, branches={"logical": 2.0}, image="b.png#2"),
    ]
    (nut,) = GoodScores.by_product(records)
    assert nut.records() == [records[1], records[0]]
    assert nut.ascending_branches == {"logical": (1.0, 2.0)}


def test_an_image_is_known_by_its_content_and_called_by_its_name() -> None:
    one, renamed = image_identity("a.png", b"pixels"), image_identity("b.png", b"pixels")
    assert one.startswith("a.png#")
    assert same_image(one) == same_image(renamed)
    assert same_image(one) != same_image(image_identity("a.png", b"other pixels"))
    assert same_image("#odd#name.png") == "name.png"
    assert same_image("") == ""


def test_equal_images_count_once_and_groups_are_counted() -> None:
    records = [
        replace(GOOD, image="a.png#1", group="lot1"),
        replace(GOOD, image="copy.png#1", group="lot1"),
        replace(GOOD, image="b.png#2", group="lot1", score=2.0),
        replace(GOOD, image="c.png#3", score=3.0),
        replace(GOOD, image="", score=4.0),
    ]
    (nut,) = GoodScores.by_product(records)
    assert nut.image_groups == ("lot1", "lot1", "", "")
    assert sorted(nut.group_sizes) == [1, 1, 2]
    assert GoodScores.model_validate(nut.model_dump(mode="json")) == nut
    assert nut.records()[1] == records[2]


def test_without_groups_nothing_new_is_written() -> None:
    (nut,) = GoodScores.by_product([GOOD])
    assert "image_groups" not in nut.model_dump(mode="json")
    assert nut.group_sizes == (1,)
