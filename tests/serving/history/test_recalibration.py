"""New limits from marked pictures: what joins what, and what can be taken back."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from spot_model import GOOD, spot_calibration

from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.errors import CalibrationError
from blemish.serving.history.database import Database
from blemish.serving.history.pictures import Picture
from blemish.serving.history.recalibration import at_rate, comparison, limits_json, recalibrated
from blemish.serving.history.versions import CalibrationVersions
from blemish.serving.http.refusals import RefusalError


def records(*scores: float, product: str | None = "nut") -> list[CalibrationRecord]:
    return [CalibrationRecord(product, s, s, map_low=60.0, image=f"{s}") for s in scores]


def test_joining_is_calibrating_with_all_of_them() -> None:
    base = calibrate(records(*GOOD))
    joined = recalibrated(base, records(130.0, 90.0), how="join")
    together = calibrate(records(*GOOD, 130.0, 90.0))
    assert joined.groups == together.groups
    assert joined.limits("nut") == together.limits("nut")
    assert joined.limits("nut").defect == 130.0
    assert joined.version != base.version


def test_replacing_leaves_only_the_marked_ones_of_their_product() -> None:
    base = calibrate([*records(*GOOD), *records(1.0, 2.0, 3.0, product="bolt")])
    replaced = recalibrated(base, records(50.0, 51.0), how="replace")
    assert replaced.limits("nut").n == 2
    assert replaced.limits("nut").defect == 51.0
    assert replaced.limits("bolt") == base.limits("bolt")


def test_a_product_without_limits_joins_the_pooled_ones_it_was_judged_by() -> None:
    base = spot_calibration()
    joined = recalibrated(base, records(200.0, product="washer"), how="join")
    assert joined.products == ("nut",)
    assert joined.limits("nut") == base.limits("nut")
    assert joined.limits("washer").n == 100
    assert joined.limits("washer").defect == 200.0


def test_rates_are_kept_or_asked_for() -> None:
    base = spot_calibration()
    rates = base.at(false_alarm_rate=0.1, unsure_rate=0.2)
    joined = recalibrated(base, records(90.0), how="join", rates=rates)
    assert (joined.false_alarm_rate, joined.unsure_rate) == (0.1, 0.2)
    assert at_rate(rates, 0.1) is rates  # its own unsure rate is not lost
    assert at_rate(rates, None) is rates
    assert at_rate(rates, 0.05).unsure_rate == 0.25


def test_a_model_without_limits_gets_them_from_marks_alone() -> None:
    first = recalibrated(None, records(1.0, 2.0), how="join")
    assert first.n == 2
    assert first.false_alarm_rate == 0.01


def test_nothing_marked_and_foreign_branches_are_refused() -> None:
    with pytest.raises(CalibrationError, match="No picture is marked"):
        recalibrated(spot_calibration(), [], how="join")
    foreign = [CalibrationRecord("nut", 1.0, 1.0, branches={"logical": 1.0})]
    with pytest.raises(CalibrationError, match="other branches"):
        recalibrated(spot_calibration(), foreign, how="join")


def test_the_comparison_says_what_would_change() -> None:
    def picture(key: int, score: float, mark: str | None) -> Picture:
        return Picture(f"{key}", "nut", "n", (4, 4), score, score, 0.0, {}, "ok", 1, "", mark, key)  # type: ignore[arg-type]

    before = spot_calibration()
    after = recalibrated(before, records(140.0, 141.0), how="join")
    pictures = [picture(1, 130.0, "good"), picture(2, 139.0, "defect"), picture(3, 200.0, "defect")]
    found = comparison(before, after, [*pictures, picture(4, 100.0, None)])
    assert found["verdicts"] == {
        "before": {"defect": 3, "ok": 1},
        "after": {"unsure": 2, "defect": 1, "ok": 1},
    }
    assert found["changed"] == [{"id": k, "before": "defect", "after": "unsure"} for k in (1, 2)]
    assert found["marked"]["defect"] == {"total": 2, "stopped_before": 2, "stopped_after": 1}
    assert found["marked"]["good"] == {"total": 1, "stopped_before": 1, "stopped_after": 0}
    (old,), (new,) = found["before"], found["after"]
    assert (old["defect"], new["defect"], new["n"]) == (124.5, 141.0, 101)
    assert comparison(None, after, pictures)["verdicts"]["before"] == {"none": 3}


def test_limits_are_listed_once_each() -> None:
    assert [entry["product"] for entry in limits_json(spot_calibration())] == ["nut"]
    assert [entry["product"] for entry in limits_json(spot_calibration(None))] == [None]
    two = calibrate([*records(1.0), *records(2.0, product="bolt")])
    assert [entry["product"] for entry in limits_json(two)] == ["bolt", "nut", None]


def test_versions_undo_and_come_back_after_the_process(tmp_path: Path) -> None:
    base = spot_calibration()
    database = Database.open(tmp_path / "state", "model")
    versions = CalibrationVersions(database, base)
    assert versions.active.version == 1
    with pytest.raises(RefusalError, match="as they came with the model"):
        versions.undo()
    second = recalibrated(base, records(130.0), how="join")
    assert versions.put(second, source="marks", note="one", expected=1).version == 2
    with pytest.raises(RefusalError) as caught:
        versions.put(base, source="marks", note="late", expected=1)
    assert caught.value.status == 409
    assert versions.base() == base
    database.close()

    database = Database.open(tmp_path / "state", "model")
    versions = CalibrationVersions(database, base)
    assert (versions.active.version, versions.active.calibration) == (2, second)
    assert versions.undo(expected=2).calibration == base
    assert versions.activate(2).calibration == second  # and forward again
    assert [v.version for v in versions.all()] == [2, 1]
    for missing in (0, 3, -1, 10**30):
        with pytest.raises(RefusalError):
            versions.activate(missing)
    database.close()


def test_a_model_calibrated_anew_brings_its_limits_along(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "state", "model")
    CalibrationVersions(database, spot_calibration())
    anew = spot_calibration().at(false_alarm_rate=0.2)
    versions = CalibrationVersions(database, anew)
    assert (versions.active.version, versions.active.parent) == (2, 1)
    assert versions.base() == anew
    assert CalibrationVersions(database, anew).active.version == 2
    database.close()


# Kills itself before the chosen statement of writing a new version.
_VICTIM = """
import os, signal, sys
from pathlib import Path
from test_recalibration import records, spot_calibration
from blemish.serving.history.database import Database
from blemish.serving.history.recalibration import recalibrated
from blemish.serving.history.versions import CalibrationVersions
database = Database.open(Path(sys.argv[1]), "model")
versions = CalibrationVersions(database, spot_calibration())
left = int(sys.argv[2])
def count(statement):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
database._connection.set_trace_callback(count)
new = recalibrated(spot_calibration(), records(130.0), how="join")
versions.put(new, source="marks", note="new")
print("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_at_any_statement_the_limits_are_old_or_new(tmp_path: Path) -> None:
    old = spot_calibration()
    new = recalibrated(old, records(130.0), how="join")
    outcomes: list[Calibration | None] = []
    here = Path(__file__)
    folders = (here.parent, here.parents[1], os.environ.get("PYTHONPATH", ""))
    path = os.pathsep.join(map(str, folders))
    for statement in range(12):
        folder = tmp_path / f"{statement}"
        done = subprocess.run(
            [sys.executable, "-c", _VICTIM, str(folder), str(statement)],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
        database = Database.open(folder, "model")
        versions = CalibrationVersions(database, old)
        outcomes.append(versions.active.calibration)
        rows = database.rows("SELECT COUNT(*) FROM calibrations")[0][0]
        assert rows == (1 if outcomes[-1] == old else 2)
        assert database.rows("PRAGMA integrity_check")[0][0] == "ok"
        database.close()
        if "done" in done.stdout:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert "done" in done.stdout, "it never came to the end"
    assert len(outcomes) >= 4  # BEGIN, INSERT, INSERT, COMMIT
    assert all(found in (old, new) for found in outcomes)
    assert outcomes[0] == old
    assert outcomes[-1] == new
    assert not math.isclose(old.limits("nut").defect, new.limits("nut").defect)
