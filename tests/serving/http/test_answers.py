"""What answers say of limits: each once, and what new ones would change."""

from __future__ import annotations

import pytest
from spot_model import GOOD, spot_calibration, spot_model

from blemish.calibration import CalibrationRecord, calibrate
from blemish.serving.history.pictures import Picture
from blemish.serving.http.answers import comparison, limits_json
from blemish.serving.http.history_routes import at_rate


def records(*scores: float, product: str | None = "nut") -> list[CalibrationRecord]:
    return [CalibrationRecord(product, s, s, map_low=60.0, image=f"{s}") for s in scores]


def test_the_comparison_says_what_would_change() -> None:
    def picture(key: int, score: float, mark: str | None) -> Picture:
        return Picture(f"{key}", "nut", "n", (4, 4), score, score, 0.0, {}, "ok", 1, "", mark, key)  # type: ignore[arg-type]

    before = spot_calibration()
    after = calibrate(records(*GOOD, 140.0, 141.0))
    pictures = [picture(1, 130.0, "good"), picture(2, 139.0, "defect"), picture(3, 200.0, "defect")]
    found = comparison(before, after, [*pictures, picture(4, 100.0, None)], spot_model())
    assert found["verdicts"] == {
        "before": {"defect": 3, "ok": 1},
        "after": {"unsure": 2, "defect": 1, "ok": 1},
    }
    assert found["changed"] == [{"id": k, "before": "defect", "after": "unsure"} for k in (1, 2)]
    assert found["marked"]["defect"] == {"total": 2, "stopped_before": 2, "stopped_after": 1}
    assert found["marked"]["good"] == {"total": 1, "stopped_before": 1, "stopped_after": 0}
    (old,), (new,) = found["before"], found["after"]
    assert (old["defect"], new["defect"], new["n"]) == (124.5, pytest.approx(140.98), 101)
    assert comparison(None, after, pictures, spot_model())["verdicts"]["before"] == {"none": 3}


def test_limits_are_listed_once_each() -> None:
    assert [entry["product"] for entry in limits_json(spot_calibration())] == ["nut"]
    assert [entry["product"] for entry in limits_json(spot_calibration(None))] == [None]
    two = calibrate([*records(1.0), *records(2.0, product="bolt")])
    assert [entry["product"] for entry in limits_json(two)] == ["bolt", "nut", None]


def test_another_rate_is_asked_for_or_not() -> None:
    rates = spot_calibration().at(false_alarm_rate=0.1, unsure_rate=0.2)
    assert at_rate(rates, 0.1) is rates  # its own unsure rate is not lost
    assert at_rate(rates, None) is rates
    assert at_rate(rates, 0.05).unsure_rate == 0.25


def test_notes_name_the_model_and_say_what_helps_it() -> None:
    far = calibrate(records(*GOOD, 900.0))
    (fresh,) = [note for note in spot_model().notes(far) if "The limit rests on" in note]
    assert "`blemish calibrate spots.blemish --exclude" in fresh
    learned = spot_model(facts={"cross_fitted": True})
    (note,) = [note for note in learned.notes(far) if "The limit rests on" in note]
    assert "fit without it: `blemish fit" in note
    assert "blemish calibrate spots.blemish" in note
    assert "MODEL" not in fresh + note
