"""Picture history: what was judged and what people said of it, the newest kept.

Verdicts are not stored as the truth: they follow from score and limits, so that new limits judge
everything anew without the network. What is stored is the verdict at the time, for the record.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Literal

from blemish.calibration import Calibration, CalibrationRecord, How
from blemish.calibration.good_scores import same_image
from blemish.calibration.strictest import Findings, judged_as, strictest, withheld
from blemish.errors import CalibrationError
from blemish.results import PartPose, Verdict
from blemish.serving.history.database import Database
from blemish.serving.limits import RefusalError, ServeLimits

Mark = Literal["good", "defect"]
_COLUMNS = (
    "id, digest, product, name, judged, height, width, score, peak, map_low, branches, verdict, "
    "version, mark, recognised, rival, named, "
    "(SELECT pose FROM poses WHERE poses.id = pictures.id) AS pose, "
    "(SELECT kind FROM remarks WHERE remarks.id = pictures.id) AS kind, "
    "(SELECT note FROM remarks WHERE remarks.id = pictures.id) AS note"
)
_AS_JUDGED = ("product", "verdict", "version", "recognised", "rival", "named")


@dataclass(frozen=True)
class Picture:
    """One judged picture, without its pixels."""

    digest: str  # SHA-256 of the uploaded file
    product: str | None  # None where unknown
    name: str  # as the client called it; text to show, never a path to open
    size: tuple[int, int]  # (H, W) of the source image
    score: float  # raw
    peak: float  # largest value of the anomaly map at the source image's size
    map_low: float  # its median
    branches: dict[str, float]  # raw scores by branch
    verdict: Verdict | None  # at the time of judging, by the calibration ``version``
    version: int
    judged: str = ""  # UTC time
    mark: Mark | None = None  # what a person said
    id: int = 0
    recognised: str | None = None  # what the model takes it for; None where it recognises nothing
    rival: str | None = None  # what it may show as well; of no weight where the product is named
    named: bool = False  # whether somebody said the product
    pose: PartPose | None = None  # how its part lay, from models that align pictures
    kind: str = ""  # of defect, as people call it
    note: str = ""  # what people wrote

    def judged_by(self, calibration: Calibration) -> Findings:
        """What limits say of it, by its score: verdicts follow from them without the network."""
        products = judged_as(calibration, self.product, None if self.named else self.rival)
        branches = {name: s for name, s in self.branches.items() if math.isfinite(s)}
        findings = strictest(calibration, products, self.score, branches)
        return withheld(findings) if self.pose is not None and self.pose.fault else findings

    @property
    def record(self) -> CalibrationRecord:
        """What calibration needs of it, were it a good part."""
        image = f"{self.name}#{self.digest[:12]}"  # as calibration names a file
        return CalibrationRecord(
            self.product, self.score, self.peak, self.branches, self.map_low, image
        )


@dataclass(frozen=True)
class Contents:
    """The large parts of a kept picture; maps are packed, at the model's input size."""

    source: bytes = field(repr=False)  # the file as it was uploaded
    thumbnail: bytes = field(repr=False)  # a small JPEG
    map: bytes = field(repr=False)
    departure: bytes | None = field(default=None, repr=False)  # the logical branch's map


class PictureHistory:
    """The pictures a server keeps, within its bounds."""

    def __init__(
        self,
        database: Database,
        limits: ServeLimits,
        on_change: Callable[..., None] = lambda kind, **content: None,
    ) -> None:
        self._db = database
        self._limits = limits
        self._on_change = on_change

    def keep(self, picture: Picture, contents: Contents) -> int:
        """Store a picture and return its id; the same file again takes the place of the first,
        whatever product it is judged by.

        The oldest unmarked pictures give way. Marked ones are somebody's work and stay; where they
        fill the history, or the disk is full, this one is refused (507).
        """
        key = self._keep(picture, contents)
        self._on_change("picture", id=key, name=picture.name, verdict=picture.verdict)
        return key

    def _keep(self, picture: Picture, contents: Contents) -> int:
        parts = (contents.source, contents.thumbnail, contents.map, contents.departure)
        size = sum(len(part) for part in parts if part is not None)
        as_judged = {name: getattr(picture, name) for name in _AS_JUDGED}
        as_judged["product"] = picture.product or ""
        try:
            with self._db.transaction():
                found = self._db.rows("SELECT id FROM pictures WHERE digest = ?", (picture.digest,))
                if found:
                    self._judged_again(found[0]["id"], {**as_judged, "name": picture.name})
                    return int(found[0]["id"])
                self._make_room(size)
                key = self._db.run(
                    "INSERT INTO pictures (digest, name, judged, height, width, score, peak, "
                    f"map_low, branches, bytes, {', '.join(as_judged)}) "
                    f"VALUES ({', '.join('?' * (10 + len(as_judged)))})",
                    (
                        *(picture.digest, picture.name, now(), *picture.size),
                        *(picture.score, picture.peak, picture.map_low),
                        *(json.dumps(picture.branches), size, *as_judged.values()),
                    ),
                )
                self._db.run("INSERT INTO contents VALUES (?, ?, ?, ?, ?)", (key, *parts))
                if picture.pose is not None:
                    said = json.dumps(asdict(picture.pose))
                    self._db.run("INSERT INTO poses VALUES (?, ?)", (key, said))
                return key
        except sqlite3.OperationalError as error:
            raise RefusalError(
                507, "disk_full", f"The picture was judged but could not be kept: {error}."
            ) from error

    def all(self) -> list[Picture]:
        """Every picture, the newest first."""
        rows = self._db.rows(f"SELECT {_COLUMNS} FROM pictures ORDER BY id DESC")
        return [_picture(row) for row in rows]

    def examples(
        self, product: str | None, *, since: str = "", until: str = "~", count: int
    ) -> list[Picture]:
        """Pictures of a product that were judged behind ``since`` and not behind ``until``.

        Those that look good first: of two, a change is seen in what they have in common.
        """
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM pictures WHERE product = ? AND judged > ? AND judged <= ? "
            "ORDER BY mark IS 'defect', verdict IS NOT 'ok', judged DESC LIMIT ?",
            (product or "", since, until, count),
        )
        return [_picture(row) for row in rows]

    def get(self, key: int) -> Picture:
        """One picture; refused (404) where it is not there, or no more, as below."""
        return _picture(self._row(f"SELECT {_COLUMNS} FROM pictures WHERE id = ?", key))

    def contents(self, key: int, part: Literal["source", "thumbnail", "map"]) -> bytes:
        """One of the large parts of a picture."""
        return bytes(self._row(f"SELECT {part} FROM contents WHERE id = ?", key)[0])

    def departure(self, key: int) -> bytes | None:
        """The logical branch's map of a picture, packed, where its method has one."""
        found = self._row("SELECT departure FROM contents WHERE id = ?", key)[0]
        return None if found is None else bytes(found)

    def set_mark(self, key: int, mark: Mark | None) -> Picture:
        """Write down what a person said of a picture."""
        with self._db.transaction():
            self._db.run(
                "UPDATE pictures SET mark = ?, marked = ? WHERE id = ?", (mark, now(), _small(key))
            )
            picture = self.get(key)
        self._on_change("mark", id=key, mark=mark)
        return picture

    def remark(self, key: int, kind: str, note: str) -> Picture:
        """Write down the kind of defect and a note; empty ones take back what was there."""
        with self._db.transaction():
            self.get(key)
            self._db.run("INSERT OR REPLACE INTO remarks VALUES (?, ?, ?)", (key, kind, note))
            picture = self.get(key)
        self._on_change("mark", id=key, mark=picture.mark)
        return picture

    def named_product(self, digest: str) -> str | None:
        """The product that somebody said a file shows, where it is kept and somebody did."""
        rows = self._db.rows(
            "SELECT product FROM pictures WHERE digest = ? AND named AND product <> ''", (digest,)
        )
        return rows[0]["product"] if rows else None

    def judge_as(
        self, key: int, product: str | None, calibration: Calibration | None, version: int
    ) -> Picture:
        """Write down which product a person says it shows, and judge it again by that one.

        ``None`` takes it back: it is then what the model takes it for.
        """
        with self._db.transaction():
            before = self.get(key)
            shown = product if product is not None else before.recognised
            after = replace(before, product=shown, named=product is not None)
            verdict = None if calibration is None else after.judged_by(calibration).verdict
            self._judged_again(
                key,
                {"product": shown or "", "named": after.named}
                | {"verdict": verdict, "version": version},
            )
            picture = self.get(key)
        self._on_change("picture", id=key, name=picture.name, verdict=picture.verdict)
        return picture

    def _judged_again(self, key: int, changes: dict[str, object]) -> None:
        changes = {**changes, "judged": now()}
        names = ", ".join(f"{name} = ?" for name in changes)
        self._db.run(f"UPDATE pictures SET {names} WHERE id = ?", (*changes.values(), key))

    def remove(self, keys: Sequence[int] | None = None) -> int:
        """Forget the pictures named, or all without a mark; returns how many."""
        with self._db.transaction():
            before = self._count()
            if keys is None:
                self._db.run("DELETE FROM pictures WHERE mark IS NULL")
            else:
                for key in keys:
                    self._db.run("DELETE FROM pictures WHERE id = ?", (_small(key),))
            count = before - self._count()
        self._on_change("removed", count=count)
        return count

    def _row(self, query: str, key: int) -> sqlite3.Row:
        rows = self._db.rows(query, (_small(key),))
        if not rows:
            raise RefusalError(
                404, "no_such_picture", f"There is no picture {key}, or it was removed."
            )
        return rows[0]

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


def marked_records(
    pictures: Iterable[Picture], how: How, base: Calibration | None
) -> list[CalibrationRecord]:
    """What marks say of the good pictures in ``base``, as one act of calibration needs it.

    Those marked as good join or replace; of those in ``base``, the ones marked as defect leave.
    """
    mark = "defect" if how == "exclude" else "good"
    records = [picture.record for picture in pictures if picture.mark == mark]
    groups = () if base is None else base.groups
    if how == "exclude":
        there = {same_image(image) for group in groups for image in group.images}
        records = [record for record in records if same_image(record.image) in there]
    if not records:
        raise CalibrationError(
            "No picture that is marked as defect is among the model's own good pictures."
            if how == "exclude"
            else "No picture is marked as good. Mark pictures of good parts first; for a "
            "false-alarm rate of 1 % without the model's own good images, 99 of them are needed."
        )
    # A product without limits of its own was judged by the pooled ones: there it belongs.
    own = {group.product for group in groups}
    return [r if not groups or r.product in own else replace(r, product=None) for r in records]


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
        recognised=row["recognised"],
        rival=row["rival"],
        named=bool(row["named"]),
        kind=row["kind"] or "",
        note=row["note"] or "",
        pose=None if row["pose"] is None else _pose(json.loads(row["pose"])),
    )


def _pose(values: dict[str, Any]) -> PartPose:
    box = values.get("box")
    return PartPose(**{**values, "box": None if box is None else tuple(box)})


def _small(key: int) -> int:
    """SQLite's integers end at 2⁶³; a larger one names no picture."""
    return key if 0 <= key < 2**63 else -1
