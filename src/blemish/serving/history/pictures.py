"""What was judged and what people said of it: pictures with scores and marks, newest kept.

Verdicts are not stored as the truth: they follow from score and limits, so that new limits judge
everything anew without the network. What is stored is the verdict at the time, for the record.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

from blemish.calibration.good_scores import CalibrationRecord
from blemish.results import Verdict
from blemish.serving.history.database import Database
from blemish.serving.http.limits import ServeLimits
from blemish.serving.http.refusals import RefusalError

Mark = Literal["good", "defect"]
_COLUMNS = (
    "id, digest, product, name, judged, height, width, score, peak, map_low, branches, verdict, "
    "version, mark"
)


@dataclass(frozen=True)
class Picture:
    """One judged picture, without its pixels.

    Attributes:
        digest: SHA-256 of the uploaded file.
        product: ``None`` where unknown.
        name: As the client called it; text to show, never a path to open.
        judged: UTC time.
        size: ``(H, W)`` of the source image.
        score: Raw score.
        peak, map_low: Largest value and median of the anomaly map at the source image's size.
        branches: Raw scores by branch.
        verdict: At the time of judging, by the calibration ``version``.
        mark: What a person said, if anything.
    """

    digest: str
    product: str | None
    name: str
    size: tuple[int, int]
    score: float
    peak: float
    map_low: float
    branches: dict[str, float]
    verdict: Verdict | None
    version: int
    judged: str = ""
    mark: Mark | None = None
    id: int = 0

    @property
    def record(self) -> CalibrationRecord:
        """What calibration needs of it, were it a good part."""
        return CalibrationRecord(
            self.product, self.score, self.peak, self.branches, self.map_low, self.digest
        )


@dataclass(frozen=True)
class Contents:
    """The large parts of a kept picture.

    Attributes:
        source: The file as it was uploaded.
        thumbnail: A small JPEG.
        map: The anomaly map at the model's input size, packed.
        departure: The logical branch's map, packed; ``None`` for methods without one.
    """

    source: bytes = field(repr=False)
    thumbnail: bytes = field(repr=False)
    map: bytes = field(repr=False)
    departure: bytes | None = field(default=None, repr=False)


class PictureHistory:
    """The pictures a server keeps, within its bounds.

    Args:
        database: Where they are.
        limits: How many, and how many bytes.
    """

    def __init__(self, database: Database, limits: ServeLimits) -> None:
        self._db = database
        self._limits = limits

    def keep(self, picture: Picture, contents: Contents) -> int:
        """Store a picture and return its id; the same file again takes the place of the first.

        The oldest unmarked pictures give way. Marked ones are somebody's work and stay.

        Raises:
            RefusalError: 507, marked pictures fill the history, or the disk is full.
        """
        parts = (contents.source, contents.thumbnail, contents.map, contents.departure)
        size = sum(len(part) for part in parts if part is not None)
        product = picture.product or ""
        try:
            with self._db.transaction():
                found = self._db.rows(
                    "SELECT id FROM pictures WHERE digest = ? AND product = ?",
                    (picture.digest, product),
                )
                if found:
                    self._db.run(
                        "UPDATE pictures SET name = ?, judged = ?, verdict = ?, version = ? "
                        "WHERE id = ?",
                        (picture.name, now(), picture.verdict, picture.version, found[0]["id"]),
                    )
                    return int(found[0]["id"])
                self._make_room(size)
                key = self._db.run(
                    "INSERT INTO pictures (digest, product, name, judged, height, width, score, "
                    "peak, map_low, branches, verdict, version, bytes) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(picture.digest, product, picture.name, now(), *picture.size),
                        *(picture.score, picture.peak, picture.map_low),
                        *(json.dumps(picture.branches), picture.verdict, picture.version, size),
                    ),
                )
                self._db.run(
                    "INSERT INTO contents VALUES (?, ?, ?, ?, ?)",
                    (key, *parts),
                )
                return key
        except sqlite3.OperationalError as error:
            raise RefusalError(
                507, "disk_full", f"The picture was judged but could not be kept: {error}."
            ) from error

    def all(self) -> list[Picture]:
        """Every picture, the newest first."""
        return [
            _picture(row)
            for row in self._db.rows(f"SELECT {_COLUMNS} FROM pictures ORDER BY id DESC")
        ]

    def get(self, key: int) -> Picture:
        """One picture.

        Raises:
            RefusalError: 404, there is no such picture, or no more.
        """
        rows = self._db.rows(f"SELECT {_COLUMNS} FROM pictures WHERE id = ?", (_small(key),))
        if not rows:
            raise _gone(key)
        return _picture(rows[0])

    def contents(self, key: int, part: Literal["source", "thumbnail", "map"]) -> bytes:
        """One of the large parts of a picture.

        Raises:
            RefusalError: 404, there is no such picture, or no more.
        """
        rows = self._db.rows(f"SELECT {part} FROM contents WHERE id = ?", (_small(key),))
        if not rows:
            raise _gone(key)
        return bytes(rows[0][0])

    def departure(self, key: int) -> bytes | None:
        """The logical branch's map of a picture, packed, where its method has one."""
        rows = self._db.rows("SELECT departure FROM contents WHERE id = ?", (_small(key),))
        return bytes(rows[0][0]) if rows and rows[0][0] is not None else None

    def set_mark(self, key: int, mark: Mark | None) -> Picture:
        """Write down what a person said of a picture.

        Raises:
            RefusalError: 404, there is no such picture, or no more.
        """
        with self._db.transaction():
            self._db.run(
                "UPDATE pictures SET mark = ?, marked = ? WHERE id = ?", (mark, now(), _small(key))
            )
            return self.get(key)

    def marked(self, mark: Mark) -> list[Picture]:
        """The pictures with a mark, the first judged first."""
        return [
            _picture(row)
            for row in self._db.rows(
                f"SELECT {_COLUMNS} FROM pictures WHERE mark = ? ORDER BY id", (mark,)
            )
        ]

    def remove(self, keys: Sequence[int] | None = None) -> int:
        """Forget the pictures named, or all without a mark; returns how many."""
        with self._db.transaction():
            before = self._count()
            if keys is None:
                self._db.run("DELETE FROM pictures WHERE mark IS NULL")
            else:
                for key in keys:
                    self._db.run("DELETE FROM pictures WHERE id = ?", (_small(key),))
            return before - self._count()

    def _count(self) -> int:
        return int(self._db.rows("SELECT COUNT(*) FROM pictures")[0][0])

    def _make_room(self, size: int) -> None:
        count, used = self._db.rows("SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM pictures")[0]
        count, used = count + 1, used + size
        limits = self._limits
        while count > limits.keep_pictures or used > limits.keep_bytes:
            oldest = self._db.rows(
                "SELECT id, bytes FROM pictures WHERE mark IS NULL ORDER BY judged, id LIMIT 1"
            )
            if not oldest:
                raise RefusalError(
                    507,
                    "history_full",
                    "The picture was judged but not kept: marked pictures fill the history "
                    f"({limits.keep_pictures} pictures, {limits.keep_bytes / 2**30:.3g} GiB). "
                    "Remove some of them, or start the server with a larger --keep or --keep-gib.",
                )
            self._db.run("DELETE FROM pictures WHERE id = ?", (oldest[0]["id"],))
            count, used = count - 1, used - oldest[0]["bytes"]


def now() -> str:
    """UTC time, to the millisecond, as text that sorts."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _picture(row: sqlite3.Row) -> Picture:
    return Picture(
        digest=row["digest"],
        product=row["product"] or None,
        name=row["name"],
        size=(row["height"], row["width"]),
        score=row["score"],
        peak=row["peak"],
        map_low=row["map_low"],
        branches=json.loads(row["branches"]),
        verdict=row["verdict"],
        version=row["version"],
        judged=row["judged"],
        mark=row["mark"],
        id=row["id"],
    )


def _gone(key: int) -> RefusalError:
    return RefusalError(404, "no_such_picture", f"There is no picture {key}, or it was removed.")


def _small(key: int) -> int:
    """SQLite's integers end at 2⁶³; a larger one names no picture."""
    return key if 0 <= key < 2**63 else -1
