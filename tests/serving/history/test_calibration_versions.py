"""The calibrations of a history: undone, taken up again, and changed by two at once."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from spot_model import spot_calibration

from blemish.calibration import Calibration
from blemish.serving.history.database import Database
from blemish.serving.history.versions import CalibrationVersions
from blemish.serving.limits import RefusalError
from forked import ForkServer

ROUNDS = 15


def test_versions_undo_and_come_back_after_the_process(tmp_path: Path) -> None:
    base = spot_calibration()
    database = Database.open(tmp_path / "state", "model")
    versions = CalibrationVersions(database, base)
    assert versions.active.version == 1
    with pytest.raises(RefusalError, match="as they came with the model"):
        versions.undo()
    second = base.at(false_alarm_rate=0.2)
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


def test_a_full_disk_leaves_the_limits_as_they_are(tmp_path: Path) -> None:
    base = spot_calibration()
    database = Database.open(tmp_path / "state", "model")
    versions = CalibrationVersions(database, base)
    pages = database.rows("PRAGMA page_count")[0][0]
    database.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RefusalError, match="could not be written and are as before") as caught:
        versions.put(base.at(false_alarm_rate=0.2), source="rate", note="wide" * 10_000)
    assert caught.value.status == 507
    assert versions.active == versions.get(versions.active.version)
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


def test_limits_written_into_the_model_are_no_news_at_the_next_start(tmp_path: Path) -> None:
    base = spot_calibration()
    database = Database.open(tmp_path / "state", "model")
    versions = CalibrationVersions(database, base)
    in_file = base.at(false_alarm_rate=0.2)
    versions.written(versions.put(in_file, source="marks", note="into the file"))
    last = base.at(false_alarm_rate=0.3)
    versions.put(last, source="rate", note="on the page alone")
    database.close()

    database = Database.open(tmp_path / "state", "model")
    versions = CalibrationVersions(database, in_file)
    assert (versions.active.version, versions.active.calibration) == (3, last)
    assert versions.base() == base  # and no mark that has joined is in it for good
    anew = base.at(false_alarm_rate=0.4)  # by the command line
    assert CalibrationVersions(database, anew).active.version == 4
    assert CalibrationVersions(database, in_file).active.version == 5
    database.close()


def outcomes_of_racing(*changes: Callable[[], object]) -> list[str]:
    """What became of changes begun in threads at the same moment."""
    together = threading.Barrier(len(changes), timeout=30)
    outcomes = []

    def run(change: Callable[[], object]) -> None:
        together.wait()
        try:
            change()
            outcomes.append("done")
        except RefusalError as refusal:
            outcomes.append(refusal.code)

    threads = [threading.Thread(target=run, args=(change,)) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes)


def test_of_several_threads_that_saw_the_same_version_one_changes_it(tmp_path: Path) -> None:
    base = spot_calibration()
    database = Database.open(tmp_path / "state", "model")
    versions = CalibrationVersions(database, base)
    for seen in range(1, 1 + ROUNDS):

        def put(seen: int = seen) -> None:
            written = versions.put(base, source="rate", note="raced", expected=seen)
            assert written.version == versions.active.version == seen + 1

        assert outcomes_of_racing(*[put] * 4) == ["changed_meanwhile"] * 3 + ["done"]
    assert [v.parent for v in versions.all()] == [*range(ROUNDS, 0, -1), None]

    last = 1 + ROUNDS
    assert outcomes_of_racing(
        lambda: versions.activate(1, expected=last), lambda: versions.undo(expected=last)
    ) == ["changed_meanwhile", "done"]
    database.close()


def test_a_change_follows_the_version_in_the_file_and_not_the_one_remembered(
    tmp_path: Path,
) -> None:
    base = spot_calibration()
    database = Database.open(tmp_path / "state", "model")
    versions, others = (CalibrationVersions(database, base) for _ in range(2))
    others.put(base, source="rate", note="meanwhile")
    assert versions.active.version == 1  # it was told nothing
    for change in (
        lambda: versions.put(base, source="rate", note="late", expected=1),
        lambda: versions.activate(1, expected=1),
        lambda: versions.undo(expected=1),
    ):
        with pytest.raises(RefusalError, match="Calibration 2 is in force by now, not 1") as caught:
            change()
        assert caught.value.status == 409
        assert versions.active.version == 2
    others.activate(1)
    assert versions.put(base, source="rate", note="third").parent == 1
    database.close()


# Puts a version at every word from standard input, and says what became of it.
_CLIENT = """
import sqlite3, sys
from spot_model import spot_calibration
from blemish.serving.history.database import Database
from blemish.serving.history.versions import CalibrationVersions
from blemish.serving.limits import RefusalError
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None, check_same_thread=False)
connection.row_factory = sqlite3.Row
versions = CalibrationVersions(Database(connection), spot_calibration())
print("ready", flush=True)
for line in sys.stdin:
    try:
        versions.put(spot_calibration(), source="rate", note="raced", expected=int(line))
        print("done", flush=True)
    except RefusalError as refusal:
        print(refusal.code, flush=True)
"""


def test_of_two_processes_on_one_database_one_changes_it(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "state", "model")
    CalibrationVersions(database, spot_calibration())
    database.close()  # a server keeps it to itself; these two open the same file without that lock
    (file,) = (tmp_path / "state").iterdir()
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", _CLIENT, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        for _ in range(2)
    ]

    def said() -> list[str]:
        return sorted(client.stdout.readline().strip() for client in clients if client.stdout)

    assert said() == ["ready", "ready"]
    for seen in range(1, 1 + ROUNDS):
        for client in clients:
            assert client.stdin
            client.stdin.write(f"{seen}\n")
            client.stdin.flush()
        assert said() == ["changed_meanwhile", "done"]
    for client in clients:
        client.communicate(timeout=30)
    database = Database.open(tmp_path / "state", "model")
    assert CalibrationVersions(database, spot_calibration()).active.version == 1 + ROUNDS
    database.close()


# Kills itself before the chosen statement of writing a new version.
_VICTIM = """
import os, signal, sys
from pathlib import Path
from spot_model import spot_calibration
from blemish.serving.history.database import Database
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
versions.put(spot_calibration().at(false_alarm_rate=0.2), source="marks", note="new")
print("done")
sys.exit()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_at_any_statement_the_limits_are_old_or_new(
    forks: ForkServer, tmp_path: Path
) -> None:
    old = spot_calibration()
    new = old.at(false_alarm_rate=0.2)
    outcomes: list[Calibration | None] = []
    for statement in range(12):
        folder = tmp_path / f"{statement}"
        done = forks.run(folder, statement, before=_VICTIM, cwd=tmp_path)
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
