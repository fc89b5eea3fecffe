"""Version history of calibrations: each has a number, one of them is in force.

What is expected to be in force is compared, and a new one written and put in force, in one
transaction: of two clients at once one is refused. Nothing is ever overwritten, so that every step
can be taken back.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.calibration.good_scores import same_image
from blemish.serving.history.database import Database
from blemish.serving.history.pictures import now
from blemish.serving.limits import RefusalError

Source = Literal["model", "marks", "rate"]
_FROM_MODEL = "SELECT * FROM calibrations WHERE source = 'model' ORDER BY version DESC LIMIT 1"
_WRITTEN = """
SELECT calibrations.* FROM calibrations
JOIN meta ON key = 'written' AND version = CAST(value AS INTEGER)
"""
# Since the model's own: a step that was taken back leaves nothing out.
_LEFT_OUT = """
WITH RECURSIVE line (version) AS (
    SELECT version FROM active
    UNION SELECT parent FROM calibrations JOIN line USING (version)
    WHERE parent IS NOT NULL AND source != 'model'
)
SELECT DISTINCT image FROM left_out JOIN line USING (version)
"""


@dataclass(frozen=True)
class CalibrationVersion:
    """One calibration with its number, from 1."""

    version: int
    created: str  # UTC time
    source: Source  # the model's file, the marks people set, or another rate alone
    parent: int | None  # in force when this one was made; undo goes back to it
    note: str  # what was done, for people
    calibration: Calibration | None  # None for a model without calibration


class CalibrationVersions:
    """The calibrations of one history.

    Where the one in the model's file is neither the one this history began with nor the one it
    wrote there, somebody calibrated the model anew: it becomes a new version, in force.
    """

    def __init__(
        self,
        database: Database,
        from_model: Calibration | None,
        on_change: Callable[..., None] = lambda kind, **content: None,
    ) -> None:
        self._db = database
        self._on_change = on_change
        self._lock = threading.Lock()
        rows = self._db.rows(_FROM_MODEL)
        known = [_version(row).calibration for row in (*rows, *self._db.rows(_WRITTEN))]
        if from_model not in known:
            note = "the limits in the model file, changed since" if rows else "as in the model"
            with self._db.transaction():
                self._db.run("DELETE FROM meta WHERE key = 'written'")
                active = self._db.rows("SELECT version FROM active")
                self._write(from_model, "model", note, active[0][0] if active else None)
        self._active = self._read_active()

    @property
    def active(self) -> CalibrationVersion:
        """The one in force."""
        return self._active

    def base(self) -> Calibration | None:
        """The calibration that came with the model's file, which marked pictures join.

        Without the pictures that people have left out of it by name: they do not come back unseen.
        """
        model = _version(self._db.rows(_FROM_MODEL)[0]).calibration
        if model is None:
            return None
        there = {same_image(image) for group in model.groups for image in group.images if image}
        gone = [row["image"] for row in self._db.rows(_LEFT_OUT)]
        return without(model, [image for image in gone if same_image(image) in there])

    def all(self) -> list[CalibrationVersion]:
        """Every version, the newest first."""
        rows = self._db.rows("SELECT * FROM calibrations ORDER BY version DESC")
        return [_version(row) for row in rows]

    def get(self, version: int) -> CalibrationVersion:
        """One version; refused (404) where there is none."""
        rows = []
        if 0 < version < 2**63:
            rows = self._db.rows("SELECT * FROM calibrations WHERE version = ?", (version,))
        if not rows:
            raise RefusalError(404, "no_such_version", f"There is no calibration {version}.")
        return _version(rows[0])

    def put(
        self,
        calibration: Calibration,
        *,
        source: Source,
        note: str,
        expected: int | None = None,
        left_out: Sequence[str] = (),
    ) -> CalibrationVersion:
        """Write a new version and put it in force; ``left_out`` are images it leaves out by name.

        ``expected`` is the version the user saw in force; refused (409) where it is another by now,
        here and below.
        """
        with self._change(expected) as active:
            version = self._write(calibration, source, note, active)
            for image in left_out:
                self._db.run("INSERT INTO left_out VALUES (?, ?)", (version, image))
        return self.get(version)

    def check(self, expected: int) -> CalibrationVersion:
        """The version in force, if it is the one that is meant; refused (409) otherwise."""
        with self._change(expected) as active:
            return self.get(active)

    def written(self, version: CalibrationVersion) -> None:
        """To be told that a version now stands in the model's file: no news at the next start."""
        self._db.run("INSERT OR REPLACE INTO meta VALUES ('written', ?)", (str(version.version),))

    def activate(self, version: int, *, expected: int | None = None) -> CalibrationVersion:
        """Put an earlier version in force again."""
        self.get(version)
        with self._change(expected):
            self._db.run("UPDATE active SET version = ?", (version,))
        return self.get(version)

    def undo(self, *, expected: int | None = None) -> CalibrationVersion:
        """Put the version in force again from which this one was made."""
        with self._change(expected) as active:
            parent = self.get(active).parent
            if parent is None:
                raise RefusalError(
                    409, "nothing_to_undo", "The limits are as they came with the model."
                )
            self._db.run("UPDATE active SET version = ?", (parent,))
        return self.get(parent)

    @contextmanager
    def _change(self, expected: int | None) -> Iterator[int]:
        """A transaction around one change, with the version in force before it.

        That is read inside the transaction: what this process remembers may be older.
        """
        with self._lock:  # what is remembered is never older than what was written last
            try:
                with self._db.transaction():
                    active = int(self._db.rows("SELECT version FROM active")[0][0])
                    if expected not in (None, active):
                        raise RefusalError(
                            409,
                            "changed_meanwhile",
                            f"Calibration {active} is in force by now, not {expected}: somebody "
                            "else changed the limits. Look at them again before you change them.",
                        )
                    yield active
            except sqlite3.OperationalError as error:
                raise RefusalError(
                    507, "disk_full", f"The limits could not be written and are as before: {error}."
                ) from error
            finally:
                before, self._active = self._active, self._read_active()
        if before.version != self._active.version:
            self._on_change("limits", version=self._active.version, note=self._active.note)

    def _write(
        self, calibration: Calibration | None, source: Source, note: str, parent: int | None
    ) -> int:
        content = None if calibration is None else json.dumps(calibration.to_json())
        version = self._db.run(
            "INSERT INTO calibrations (created, source, parent, note, content) "
            "VALUES (?, ?, ?, ?, ?)",
            (now(), source, parent, note, content),
        )
        self._db.run("INSERT OR REPLACE INTO active VALUES (1, ?)", (version,))
        return version

    def _read_active(self) -> CalibrationVersion:
        rows = self._db.rows("SELECT calibrations.* FROM calibrations JOIN active USING (version)")
        return _version(rows[0])


def without(calibration: Calibration, images: Sequence[str]) -> Calibration:
    """A calibration without the good images of these identities.

    Raises:
        CalibrationError: One is not there, or none would be left.
    """
    if not images:
        return calibration  # the very same: another rate is told by that
    records = [CalibrationRecord(None, 0.0, 0.0, image=image) for image in images]
    return calibrate(records, current=calibration, how="exclude")


def _version(row: sqlite3.Row) -> CalibrationVersion:
    content = row["content"]
    return CalibrationVersion(
        version=row["version"],
        created=row["created"],
        source=row["source"],
        parent=row["parent"],
        note=row["note"],
        calibration=None if content is None else Calibration.from_json(json.loads(content)),
    )
