from __future__ import annotations

from judged import prediction

from blemish.calibration import CalibrationRecord, calibrate
from blemish.outputs.tally import Tally
from blemish.results import Branch

OBJECTS = {"structural": Branch(0.5, 0.5, "ok"), "logical": Branch(9.0, 0.01, "defect", 2.0)}


def test_an_ok_picture_that_a_branch_calls_defect_is_named_and_comes_first_of_its_kind() -> None:
    tally = Tally()
    tally.add(prediction("fine.png", "ok", times_limit=0.9, branches={}))
    tally.add(prediction("odd.png", "ok", times_limit=0.1, branches=OBJECTS))
    tally.add(prediction("bad.png", "defect", branches=OBJECTS))
    names = [row.path.name for row in tally.worst() if row.path]
    assert names == ["bad.png", "odd.png", "fine.png"]
    few = calibrate([CalibrationRecord("nut", s, s, {"logical": s}) for s in range(42)])
    assert tally.branches.notes(few) == [
        "1 image is 'ok' although the branch logical is beyond its own limit: odd.png. The verdict "
        "is that of the whole score, which keeps the rate; look at them where you can. Up to "
        "4.651 % of good images have such a branch."
    ]
    assert tally.verdicts == {"ok": 2, "defect": 1}  # it stays ok


def test_nothing_is_said_where_no_branch_is_overruled() -> None:
    tally = Tally()
    tally.add(prediction("bad.png", "defect", branches=OBJECTS))
    tally.add(prediction("fine.png", "ok", branches={"logical": Branch(1.0, 0.04, "unsure")}))
    assert tally.branches.notes() == []
