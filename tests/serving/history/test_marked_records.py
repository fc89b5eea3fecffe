"""New limits from marked pictures: what joins what, and what leaves."""

from __future__ import annotations

import hashlib

import pytest
from spot_model import GOOD, spot_calibration

from blemish.calibration import (
    Calibration,
    CalibrationRecord,
    How,
    calibrate,
    image_identity,
)
from blemish.errors import CalibrationError
from blemish.serving.history.pictures import Mark, Picture, marked_records


def picture(
    score: float, *, mark: Mark | None = "good", product: str | None = "nut", **branches: float
) -> Picture:
    digest = hashlib.sha256(b"%g" % score).hexdigest()
    return Picture(
        digest, product, f"{score}.png", (4, 4), score, score, 60.0, branches, "ok", 1, mark=mark
    )


def recalibrated(base: Calibration | None, pictures: list[Picture], how: How) -> Calibration:
    return calibrate(marked_records(pictures, how, base), current=base, how=how)


def test_joining_is_calibrating_with_all_of_them() -> None:
    base = spot_calibration()
    joined = recalibrated(base, [picture(130.0), picture(90.0), picture(99.0, mark=None)], "join")
    good = [*GOOD, 130.0, 90.0]
    together = calibrate(CalibrationRecord("nut", s, s, map_low=60.0) for s in good)
    assert joined.limits("nut") == together.limits("nut")
    assert joined.limits("nut").defect == pytest.approx(130.0 - 0.02 * 5.5)
    assert joined.version != base.version


def test_replacing_leaves_only_the_marked_ones_of_their_product() -> None:
    bolts = [CalibrationRecord("bolt", s, s) for s in (1.0, 2.0, 3.0)]
    base = calibrate([*bolts, *(CalibrationRecord("nut", s, s) for s in GOOD)])
    replaced = recalibrated(base, [picture(50.0), picture(51.0)], "replace")
    assert replaced.limits("nut").n == 2
    assert replaced.limits("nut").defect == 51.0
    assert replaced.limits("bolt") == base.limits("bolt")


def test_a_product_without_limits_joins_the_pooled_ones_it_was_judged_by() -> None:
    base = spot_calibration()
    joined = recalibrated(base, [picture(200.0, product="washer")], "join")
    assert joined.products == ("nut",)
    assert joined.limits("nut") == base.limits("nut")
    assert joined.limits("washer").n == 100
    assert joined.limits("washer").defect == pytest.approx(200.0 - 0.01 * 75.5)


def test_a_file_among_the_models_own_counts_once_and_leaves_when_it_is_a_defect() -> None:
    own = image_identity("as fit called it.png", b"130")
    first = [CalibrationRecord("nut", s, s, map_low=60.0) for s in GOOD]
    base = calibrate([*first, CalibrationRecord("nut", 130.0, 130.0, image=own)])
    assert recalibrated(base, [picture(130.0)], "join").limits("nut") == base.limits("nut")
    slipped_in = [picture(130.0, mark="defect"), picture(140.0, mark="defect")]
    assert recalibrated(base, slipped_in, "exclude").limits("nut") == calibrate(first).limits("nut")
    with pytest.raises(CalibrationError, match="marked as defect is among the model's own"):
        marked_records(slipped_in[1:], "exclude", base)


def test_a_model_without_limits_gets_them_from_marks_alone() -> None:
    first = recalibrated(None, [picture(1.0), picture(2.0)], "join")
    assert first.n == 2
    assert first.false_alarm_rate == 0.01


def test_nothing_marked_and_foreign_branches_are_refused() -> None:
    with pytest.raises(CalibrationError, match="No picture is marked"):
        marked_records([picture(1.0, mark="defect")], "join", spot_calibration())
    with pytest.raises(CalibrationError, match="other branches"):
        recalibrated(spot_calibration(), [picture(1.0, logical=1.0)], "join")
