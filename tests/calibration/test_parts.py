"""Parts of several views: the rule against simulation, and that a doubtful part never passes."""

from __future__ import annotations

import numpy as np
import pytest

from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.calibration.conformal import p_value
from blemish.calibration.parts import PartsUnderWay, View, part_p_value, part_verdict
from blemish.errors import ConfigError
from blemish.results import Verdict


@pytest.fixture(scope="module")
def limits() -> Calibration:
    made = calibrate(CalibrationRecord("nut", float(s), float(s)) for s in range(99))
    assert (made.false_alarm_rate, made.unsure_rate) == (0.01, 0.05)
    return made


def view(name: str, p: float | None = 0.7, verdict: Verdict | None = "ok") -> View:
    return View(name, "nut", verdict, p, 1.0)


def test_a_part_of_good_views_is_seldom_odd_however_its_views_agree() -> None:
    rng = np.random.default_rng(0)
    for together in (0.0, 0.9):
        shared = rng.normal(size=(4000, 1)) * together
        views = shared + np.sqrt(1 - together**2) * rng.normal(size=(4000, 3))
        good = tuple(np.sort(rng.normal(size=999)))
        found = [part_p_value([p_value(s, good) for s in part]) for part in views]
        assert np.mean(np.array(found) <= 0.05) < 0.06
    with pytest.raises(ConfigError):
        part_p_value([])


@pytest.mark.parametrize(
    ("views", "p", "verdict"),
    [
        ([(0.4, "ok"), (0.7, "ok")], 0.8, "ok"),
        ([(0.004, "defect"), (0.7, "ok")], 0.008, "defect"),
        ([(0.01, "defect"), (0.7, "ok")], 0.02, "unsure"),
        ([(0.02, "unsure"), (0.7, "ok")], 0.04, "unsure"),
        ([(0.04, "unsure"), (0.7, "ok")], 0.08, "ok"),
        ([(0.01, "defect")] + 9 * [(0.9, "ok")], 0.1, "unsure"),  # a view of it was stopped
        ([(0.03, "unsure")], 0.03, "unsure"),
        ([(0.9, "ok"), None], 1.0, "unsure"),  # half of it was not seen
        ([(0.9, "ok"), (None, "unsure")], 1.0, "unsure"),  # of a product that nobody knows
        ([None], 1.0, "unsure"),
    ],
)
def test_the_verdict_of_a_part(
    limits: Calibration,
    views: list[tuple[float | None, Verdict] | None],
    p: float,
    verdict: str,
) -> None:
    pictures = [View("lost") if one is None else view("a", *one) for one in views]
    found = part_verdict("7", pictures, limits)
    assert (found.part, found.views, found.verdict) == ("7", len(views), verdict)
    assert found.p_value == pytest.approx(p)
    assert found.unseen == sum(one is None or one[0] is None for one in views)


def test_a_part_is_finished_by_its_last_view_however_parts_are_mixed(limits: Calibration) -> None:
    parts = PartsUnderWay()
    for number in range(20):  # all first views, then all second ones
        assert parts.add(f"{number}", [view(f"{number}a")], limits, views=2) == []
    for number in range(20):
        (found,) = parts.add(f"{number}", [view(f"{number}b")], limits, views=2)
        assert (found.part, found.views, found.product) == (f"{number}", 2, "nut")
    parts.add("half", [view("half")], limits, views=3)
    (rest,) = parts.rest()
    assert (rest.part, rest.views, rest.unseen, rest.verdict) == ("half", 3, 2, "unsure")
    assert parts.rest() == []


def test_on_a_line_a_part_that_others_overtake_is_judged_by_what_came_of_it(
    limits: Calibration,
) -> None:
    parts, finished = PartsUnderWay(live=True), []
    parts.add("lost", [view("lost")], limits, views=2)
    for number in range(8):
        parts.add(f"{number}", [view(f"{number}a")], limits, views=2)
        finished += [f.part for f in parts.add(f"{number}", [view(f"{number}b")], limits, views=2)]
    assert finished == ["0", "1", "2", "3", "4", "5", "6", "lost", "7"]


def test_a_view_that_is_sent_twice_counts_once(limits: Calibration) -> None:
    parts = PartsUnderWay(live=True)
    first, second = view("a"), view("b")
    assert parts.add("7", [first], limits, views=2) == []
    assert parts.add("7", [first], limits, views=2) == []
    (found,) = parts.add("7", [second], limits, views=2)
    # Once more, because the answer was lost: the same verdict, and no new part.
    assert parts.add("7", [second], limits, views=2) == [found]
    assert parts.rest() == []
    # Two of one request are two, whatever they look like.
    (twins,) = parts.add("8", [first, first], limits, views=2)
    assert twins.views == 2


def test_parts_that_are_never_complete_do_not_pile_up(limits: Calibration) -> None:
    parts, finished = PartsUnderWay(live=True), []
    for number in range(300):  # of a camera less than was said
        finished += parts.add(f"{number}", [view(f"{number}")], limits, views=2)
    assert [found.part for found in finished] == [f"{number}" for number in range(44)]
    assert {found.verdict for found in finished} == {"unsure"}
    assert len(parts.rest()) == 256


def test_a_part_with_a_lost_view_is_of_the_product_that_the_others_show(
    limits: Calibration,
) -> None:
    assert part_verdict("7", [view("a"), View("lost")], limits).product == "nut"
    assert part_verdict("7", [View("lost")], limits).product is None
