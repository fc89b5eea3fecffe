from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_in import BrightSpots, limits_at, write_part

from blemish.data.sample import Sample
from blemish.report.data import Group, Row, Verdicts, make_row
from blemish.report.pictures import choose_images, display_scale
from blemish.results import Verdict


def row(score: float, verdict: Verdict | None, kind: str | None = None) -> Row:
    path = Path(f"{kind or 'good'}/{score:g}.png")
    sample = Sample(path, "nut", "test", int(kind is not None), kind)
    return Row(sample, score, None, verdict, background=0.0, peak=score)


def scores(rows: tuple[Row, ...]) -> list[float]:
    return [r.score for r in rows]


def test_the_worst_come_first_and_no_more_than_asked_for() -> None:
    rows = [row(s, "defect") for s in (7.0, 9.0, 8.0, 6.0, 5.0)]
    rows += [row(s, "ok", "dent") for s in (3.0, 1.0, 2.0, 4.0)]
    chosen = choose_images(rows, most=3)
    assert scores(chosen.alarms) == [9.0, 8.0, 7.0]
    assert scores(chosen.misses) == [1.0, 2.0, 3.0]
    assert chosen.hits == ()


def test_without_a_wrong_one_the_nearest_three_are_shown() -> None:
    rows = [row(s, "ok") for s in (1.0, 2.0, 3.0, 4.0, 5.0)]
    rows += [row(s, "defect", "dent") for s in (10.0, 11.0, 12.0, 13.0, 14.0)]
    chosen = choose_images(rows, most=6)
    assert scores(chosen.alarms) == [5.0, 4.0, 3.0]
    assert scores(chosen.misses) == [10.0, 11.0, 12.0]
    assert set(scores(chosen.hits)) == {13.0, 14.0}  # none twice


def test_unsure_is_shown_among_both() -> None:
    rows = [row(s, "unsure") for s in (4.0, 5.0, 6.0, 7.0)] + [row(1.0, "ok")]
    rows += [row(s, "unsure", "dent") for s in (4.5, 5.5, 6.5, 7.5)]
    chosen = choose_images(rows, most=6)
    assert scores(chosen.alarms) == [7.0, 6.0, 5.0, 4.0]
    assert scores(chosen.misses) == [4.5, 5.5, 6.5, 7.5]


def test_typical_hits_come_from_every_kind_in_turn() -> None:
    rows = [row(float(s), "defect", "dent") for s in range(20, 29)]
    rows += [row(s, "defect", "rust") for s in (50.0, 60.0, 90.0)]
    rows += [row(s, "ok", "dent") for s in (1.0, 2.0, 3.0)]
    chosen = choose_images(rows, most=4)
    assert [(r.kind, r.score) for r in chosen.hits] == [
        ("dent", 24.0),
        ("rust", 60.0),
        ("dent", 23.0),
        ("rust", 50.0),
    ]


def test_without_verdicts_the_scores_decide() -> None:
    rows = [row(float(s), None) for s in range(10)]
    rows += [row(float(s), None, "dent") for s in range(5, 15)]
    chosen = choose_images(rows, most=2)
    assert scores(chosen.alarms) == [9.0, 8.0]
    assert scores(chosen.misses) == [5.0, 6.0]
    assert len(chosen.hits) == 2
    assert not set(chosen.hits) & set(chosen.misses)


def test_one_class_only_and_none_at_all() -> None:
    good = choose_images([row(1.0, "ok")], most=6)
    assert (scores(good.alarms), good.misses, good.hits) == ([1.0], (), ())
    assert choose_images([row(9.0, "defect", "dent")], most=0).all == ()


def test_verdicts_are_counted() -> None:
    rows = [row(1, "ok"), row(2, "ok"), row(3, "unsure"), row(4, "defect")]
    assert Group(rows).verdicts == Verdicts(2, 1, 1)
    assert Verdicts(2, 1, 1).total == 4
    assert Group([*rows, row(5, None)]).verdicts is None
    assert Group().verdicts is None


@pytest.mark.parametrize(("spot", "located"), [(80, True), (0, False)])
def test_a_row_knows_whether_the_mark_touches_the_truth(
    tmp_path: Path, spot: int, located: bool
) -> None:
    mask = tmp_path / "mask.png"
    path = write_part(tmp_path / "1.png", spot, mask=mask)
    sample = Sample(path, "nut", "test", 1, "dent", (mask,))
    prediction = next(BrightSpots(limits_at(3.0)).predict(sample))
    made = make_row(sample, prediction)
    assert made.located is located
    assert made.peak == spot / 10
    assert made.background == 0.0
    uncalibrated = next(BrightSpots(None).predict(sample))
    assert make_row(sample, uncalibrated).located is None


def test_a_mask_of_another_size_is_left_to_the_evaluation(tmp_path: Path) -> None:
    Image.fromarray(np.ones((5, 5), np.uint8)).save(tmp_path / "mask.png")
    path = write_part(tmp_path / "1.png", 80)
    sample = Sample(path, "nut", "test", 1, "dent", (tmp_path / "mask.png",))
    assert make_row(sample, next(BrightSpots(limits_at(3.0)).predict(sample))).located is None


def test_colours_without_limits_reach_twice_as_far_as_good_parts() -> None:
    rows = [row(2.0, None), row(3.0, None), row(50.0, None, "dent")]
    assert display_scale(rows) == (0.0, 6.0)
    assert display_scale([row(0.0, None)]) == (0.0, 1.0)


def test_the_outcome_says_what_a_verdict_means_for_the_part() -> None:
    good = [row(1.0, verdict).outcome for verdict in ("ok", "unsure", "defect", None)]
    assert good == [("pass", "ok"), ("unsure", "unsure"), ("stopped", "defect"), None]
    bad = [row(1.0, verdict, "dent").outcome for verdict in ("ok", "unsure", "defect", None)]
    assert bad == [("missed", "defect"), ("unsure", "unsure"), ("found", "ok"), None]
