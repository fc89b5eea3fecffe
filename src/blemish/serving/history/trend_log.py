"""Trend log: what became of every part that was judged, kept or not, by product and day.

Counts are kept for good. Of the parts themselves, a bounded sample: all of a slow line, of a fast
one two thousand and one in every fifteen seconds, so that nothing in a picture decides whether it
counts. At which moment of them is drawn: at an even pace a carousel of fifty carriers would show
always the same one, which is a change. What was judged in the last second may be lost with the
process.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from blemish.calibration.trend import TrendWatch
from blemish.data.images.appearance import Appearance
from blemish.results import Prediction, Verdict
from blemish.serving.history.database import Database
from blemish.serving.history.pictures import now
from blemish.serving.history.versions import CalibrationVersion, CalibrationVersions

#: Probability of ever ringing while nothing changes, of each product and calibration.
RATE = 0.01
#: Parts of one product that are watched before it begins anew.
LARGEST = 20_000
_BURST, _PACE = 2_000, 15.0
_EVERY = 1.0  # seconds between two writes
VERDICTS: tuple[Verdict, ...] = ("ok", "unsure", "defect")

_TABLES = (
    """
CREATE TABLE IF NOT EXISTS days (
    product TEXT NOT NULL, day TEXT NOT NULL, n INTEGER NOT NULL,
    ok INTEGER NOT NULL, unsure INTEGER NOT NULL, defect INTEGER NOT NULL,
    brightness REAL NOT NULL, sharpness REAL NOT NULL, colour REAL NOT NULL,
    PRIMARY KEY (product, day)
)""",
    """
CREATE TABLE IF NOT EXISTS parts (
    id INTEGER PRIMARY KEY, product TEXT NOT NULL, version INTEGER NOT NULL, judged TEXT NOT NULL,
    name TEXT NOT NULL, verdict TEXT, score REAL NOT NULL,
    brightness REAL NOT NULL, sharpness REAL NOT NULL, colour REAL NOT NULL
)""",
)
_ADD_DAY = """
INSERT INTO days VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?) ON CONFLICT (product, day) DO UPDATE SET
    n = n + 1, ok = ok + excluded.ok, unsure = unsure + excluded.unsure,
    defect = defect + excluded.defect, brightness = brightness + excluded.brightness,
    sharpness = sharpness + excluded.sharpness, colour = colour + excluded.colour
"""
_ADD_PART = (
    "INSERT INTO parts (product, version, judged, name, verdict, score, brightness, sharpness, "
    "colour) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# Of the kept pictures, those that people marked: what was stopped by mistake, and what slipped by.
_MARKED = """
SELECT product, substr(judged, 1, 10) AS day,
    SUM(mark = 'good') AS good, SUM(mark = 'good' AND verdict = 'defect') AS false_alarms,
    SUM(mark = 'defect') AS defects, SUM(mark = 'defect' AND verdict = 'defect') AS found
FROM pictures WHERE mark IS NOT NULL GROUP BY product, day
"""


@dataclass(frozen=True)
class Alarm:
    """Something has changed: of which product, since when, and what a person should know."""

    product: str | None
    number: int
    name: str
    evidence: float
    sentence: str


@dataclass
class WatchedProduct:
    """One product's watch since the limits in force.

    Attributes:
        watch: The figures.
        version: Of the limits.
        since: When its first part was judged.
        line: Its evidence for a plot, by number of the part.
        least: Number and time of the part behind which the evidence was least, while it had not
            rung: from there it rose to the alarm.
        rang_at: When the part was judged at which it rang.
    """

    watch: TrendWatch
    version: int
    since: str
    line: list[tuple[int, float]] = field(default_factory=list)
    least: tuple[int, str] = (0, "")
    rang_at: str = ""
    credit: float = _BURST
    due: float = 1.0  # credit at which the next one counts
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    last: float = 0.0
    _lowest: float = math.inf

    def take(self, name: str, at: str, verdict: str | None, measures: dict[str, float]) -> bool:
        """One part more; whether it rings."""
        watch = self.watch
        rang = watch.add(name, verdict, measures)
        if rang:
            self.rang_at = at
        elif watch.rang is None and watch.evidence <= self._lowest:
            self._lowest, self.least = watch.evidence, (watch.seen, at)
        if watch.watching:
            self.line.append((watch.seen, round(watch.evidence, 3)))
            if len(self.line) > 600:  # every second point: the plot is as wide as before
                self.line = self.line[::2]
        return rang

    def counts(self, clock: float) -> bool:
        """Whether the part of now is in the sample."""
        if self.last:
            self.credit = min(_BURST, self.credit + (clock - self.last) / _PACE)
        self.last = clock
        if self.credit < self.due:
            return False
        self.credit -= 1
        self.due = 1 + self.chance.random()
        return True


class TrendLog:
    """Takes every judged part; counts by day, and watches each product.

    Args:
        database: Of the history.
        versions: By whose limits parts are judged.
        on_alarm: Called once for each alarm.
        clock: Seconds of a clock that is never set.
    """

    def __init__(
        self,
        database: Database,
        versions: CalibrationVersions,
        on_alarm: Callable[[Alarm], None] = lambda alarm: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db, self._versions, self._on_alarm, self._clock = database, versions, on_alarm, clock
        self._lock = threading.Lock()
        self._waiting: list[tuple[tuple[Any, ...], tuple[Any, ...] | None]] = []
        self._written = clock()
        self._watched: dict[str, WatchedProduct] = {}
        with database.transaction():
            for table in _TABLES:
                database.run(table)
        active = versions.active
        rows = database.rows("SELECT * FROM parts WHERE version = ? ORDER BY id", (active.version,))
        for row in rows:
            measures = {m: row[m] for m in ("score", *Appearance._fields)}
            self._take(row["product"], active, row["judged"], row["name"], row["verdict"], measures)

    def add(
        self, prediction: Prediction, look: Appearance, name: str, version: CalibrationVersion
    ) -> None:
        """Take one part, in the order in which parts were judged."""
        product, verdict, at = prediction.product or "", prediction.verdict, now()
        day = (product, at[:10], *(int(verdict == v) for v in VERDICTS), *look)
        measures = {"score": prediction.score, **look._asdict()}
        alarm = None
        with self._lock:
            clock, row = self._clock(), None
            watched = self._of(product, version, at)
            if watched is not None and watched.counts(clock):
                row = (product, version.version, at, name, verdict, *measures.values())
                alarm = self._take(product, version, at, name, verdict, measures)
            self._waiting.append((day, row))
            if clock - self._written >= _EVERY:
                self._write(clock)
        if alarm is not None:
            self._on_alarm(alarm)

    def close(self) -> None:
        """Write what waits."""
        with self._lock:
            self._write(self._clock())

    def days(self) -> list[dict[str, Any]]:
        """Counts by product and day, the oldest first, with what people marked of them."""
        self.close()
        marked = {(row["product"], row["day"]): row for row in self._db.rows(_MARKED)}
        found = []
        for row in self._db.rows("SELECT * FROM days ORDER BY product, day"):
            said = marked.get((row["product"], row["day"]))
            found.append(
                {
                    **{key: row[key] for key in ("product", "day", "n", *VERDICTS)},
                    **{key: row[key] / row["n"] for key in Appearance._fields},
                    "marked_good": 0 if said is None else said["good"],
                    "false_alarms": 0 if said is None else said["false_alarms"],
                }
            )
        return found

    def watched(self) -> list[WatchedProduct]:
        """Each product's watch, as it is now."""
        with self._lock:
            return [replace(watched, line=[*watched.line]) for watched in self._watched.values()]

    def _of(self, product: str, version: CalibrationVersion, at: str) -> WatchedProduct | None:
        found = self._watched.get(product)
        if found is None or found.version != version.version or found.watch.seen >= LARGEST:
            if version.calibration is None:
                return None
            watch = TrendWatch(version.calibration, product or None, rate=RATE)
            found = self._watched[product] = WatchedProduct(watch, version.version, at)
        return found

    def _take(
        self,
        product: str,
        version: CalibrationVersion,
        at: str,
        name: str,
        verdict: str | None,
        measures: dict[str, float],
    ) -> Alarm | None:
        found = self._of(product, version, at)
        if found is None or not found.take(name, at, verdict, measures):
            return None
        watch = found.watch
        most = max(watch.by_measure, key=lambda measure: watch.by_measure[measure])
        since = found.since[:16].replace("T", " ")
        who = product or "The line"
        sentence = (
            f"{who} has changed, most of all by {most}: told at part {watch.seen} since {since} "
            "UTC. While nothing changes, the probability of ever saying this is at most "
            f"{100 * RATE:g} %. Compare pictures before and after; then calibrate with good ones "
            "of now."
        )
        return Alarm(product or None, watch.seen, name, watch.evidence, sentence)

    def _write(self, clock: float) -> None:
        self._written = clock
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        with self._db.transaction():
            for day, row in waiting:
                self._db.run(_ADD_DAY, day)
                if row is not None:
                    self._db.run(_ADD_PART, row)
            self._db.run(
                "DELETE FROM parts WHERE id <= (SELECT MAX(id) FROM parts) - ?", (10 * LARGEST,)
            )
