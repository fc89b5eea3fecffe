"""Live inspection: frames of a camera are judged as they come, by the served model, in order.

A few are on their way at once, as on a line: while one is kept and sent, the network has the next.
Each waits for the one before it with its verdict, so that these leave as the parts passed. What is
judged is kept by a rule; the last twenty can be seen whether they were kept or not.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.cameras.address import open_camera
from blemish.cameras.grabber import Grabber, Shot
from blemish.cameras.trigger import parse_trigger
from blemish.data.grouping import name_pattern
from blemish.errors import ConfigError
from blemish.inspection.network import NetworkOutput
from blemish.results import PartPose, Prediction
from blemish.serving.history.pictures import now
from blemish.serving.limits import RefusalError
from blemish.serving.order import Judged, NotJudged, Order, Upload
from blemish.serving.service import InspectionService

log = logging.getLogger("blemish.serve")

#: Pictures that can be seen, and pixels of their longer side.
LAST, _SHOWN = 20, 960
#: Seconds over which the rate is taken.
_WINDOW = 5.0
#: On their way at once: one is prepared, one has the network, one is kept and sent.
_TOGETHER = 3


@dataclass(frozen=True)
class KeepRule:
    """Which of the pictures that are judged go into the history.

    Args:
        not_ok: Those that are unsure or defective.
        one_in: One in so many, whatever it is; 0: none for that reason.
    """

    not_ok: bool = True
    one_in: int = 0

    @classmethod
    def parse(cls, text: str) -> KeepRule:
        """``all``, ``none``, ``not-ok``, ``1/N`` or ``not-ok,1/N``.

        Raises:
            ConfigError: Anything else.

        Example:
            >>> from blemish.serving.live import KeepRule
            >>> KeepRule.parse("not-ok,1/50")
            KeepRule(not_ok=True, one_in=50)
        """
        not_ok, one_in = False, 0
        for word in text.split(","):
            share = re.fullmatch(r"1/([1-9][0-9]{0,8})", word)
            if word == "not-ok":
                not_ok = True
            elif share or word == "all":
                one_in = int(share[1]) if share else 1
            elif word != "none":
                raise ConfigError(
                    f"--keep-live {text}: expected all, none, not-ok, 1/N, or not-ok,1/N."
                )
        return cls(not_ok, one_in)

    def wants(self, prediction: Prediction, number: int) -> bool:
        """Whether this one, the so manieth judged, is kept."""
        odd = prediction.verdict != "ok"
        return (self.not_ok and odd) or (self.one_in > 0 and number % self.one_in == 0)


@dataclass(frozen=True)
class LiveSource:
    """A camera as ``serve`` is told of it, by its options."""

    address: str
    trigger: str = "all"
    keep: str = "not-ok"
    product: str | None = None
    part_id: str | None = None  # regular expression for the part in the name of a file
    views: int = 1  # pictures of each part

    def open(self, service: InspectionService) -> LiveInspection:
        """Ready to start.

        Raises:
            ConfigError: An option that cannot be understood.
            MissingExtraError: The camera needs a library that is not installed.
        """
        depth = service.model.preprocessing.bit_depth
        part_of = None if self.part_id is None else name_pattern(self.part_id, "--part-id")
        camera = open_camera(self.address, log.warning, bit_depth=depth)
        grabber = Grabber(camera, parse_trigger(self.trigger), log.warning)
        try:
            keep = KeepRule.parse(self.keep)
            return LiveInspection(
                service, grabber, keep, self.product, part_of=part_of, views=self.views
            )
        except RefusalError as refusal:
            raise ConfigError(f"--product: {refusal.detail}") from refusal


@dataclass
class LivePicture:
    """One of the last pictures, small enough to be held in memory."""

    number: int
    pixels: NDArray[np.uint8] = field(repr=False)  # (H, W, 3), at most _SHOWN
    map: NDArray[np.float32] = field(repr=False)  # at the model's input size
    size: tuple[int, int]  # (H, W) of the source
    product: str | None
    pose: PartPose | None
    facts: dict[str, Any] = field(default_factory=dict)


class LiveInspection:
    """Judges what a grabber takes, from the start of a server to its end."""

    def __init__(
        self,
        service: InspectionService,
        grabber: Grabber,
        keep: KeepRule,
        product: str | None,
        *,
        part_of: Callable[[Path], str | None] | None = None,
        views: int = 1,
    ) -> None:
        self.grabber = grabber
        self._service, self._keep = service, keep
        self._part_of, self._views = part_of, views
        self._order = service.check_order(Order(product=product))
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._lock = threading.Lock()
        self._last: deque[LivePicture] = deque(maxlen=LAST)
        self._times: deque[float] = deque(maxlen=500)
        self.judged = 0
        self.counts: Counter[str] = Counter()
        self.since = now()

    def start(self) -> None:
        """Begin; to be called from the event loop."""
        self.grabber.start()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Judge what is in hand, and stop."""
        self._closing = True
        await asyncio.to_thread(self.grabber.close)
        if self._task is not None:
            await self._task

    def state(self) -> dict[str, Any]:
        """How it goes, as plain values; the last pictures, the newest first."""
        grabber, clock = self.grabber, time.monotonic()
        with self._lock:
            recent = [at for at in self._times if at > clock - _WINDOW]
            last = [picture.facts for picture in reversed(self._last)]
            counts = {name: self.counts[name] for name in ("ok", "unsure", "defect", "none")}
        return {
            "source": grabber.camera.name,
            "state": grabber.state,
            "reason": grabber.reason,
            "seen": grabber.seen,
            "wanted": grabber.fired,
            "dropped": grabber.dropped,
            "judged": self.judged,
            "counts": counts,
            "since": self.since,
            "rate": round(len(recent) / _WINDOW, 2),
            "last": last,
        }

    def picture(self, number: int) -> LivePicture:
        """One of the last; refused (404) where it is one no more."""
        with self._lock:
            for picture in self._last:
                if picture.number == number:
                    return picture
        raise RefusalError(404, "no_such_picture", f"Picture {number} is none of the last {LAST}.")

    def from_zero(self) -> None:
        """Count anew."""
        with self._lock:
            self.counts.clear()
            self.since = now()
        self._service.events.publish("counter", since=self.since)

    async def _run(self) -> None:
        under_way: deque[asyncio.Task[None]] = deque()
        try:
            while not self._closing:
                while under_way and (len(under_way) == _TOGETHER or under_way[0].done()):
                    await under_way.popleft()
                shot = await asyncio.to_thread(self.grabber.take, 0.5)
                if shot is not None:
                    before = under_way[-1] if under_way else None
                    under_way.append(asyncio.create_task(self._judge(shot, before)))
                elif self.grabber.over:
                    break
        finally:
            await asyncio.gather(*under_way)
        if not self._closing:
            self._service.events.publish("source", state="ended", reason=self.grabber.reason)

    async def _judge(self, shot: Shot, before: asyncio.Task[None] | None) -> None:
        frame = shot.frame
        shown: list[LivePicture] = []

        def look(answer: NetworkOutput, prediction: Prediction) -> bool:
            number = self.judged + 1  # the one before has been counted
            size = (frame.pixels.shape[0], frame.pixels.shape[1])
            picture = LivePicture(
                *(number, _small(frame.pixels), answer.maps[0], size),
                product=prediction.product,
                pose=prediction.pose,
            )
            shown.append(picture)
            return self._keep.wants(prediction, number)

        name = frame.name or f"{self.grabber.camera.name}/{_stamp(frame.taken, frame.part)}"
        upload = Upload(name, b"", frame.pixels, frame.taken)
        part = frame.part or None
        if part is None and frame.name and self._part_of is not None:
            part = self._part_of(Path(frame.name))
        views = shot.views or self._views
        order = self._order.model_copy(update={"part": part, "views": views})
        if shot.product is not None:
            order = order.model_copy(update={"product": shot.product})
        try:
            (item,) = await self._service.judge([upload], order, look=look, after=before)
        except RefusalError as refusal:  # clients fill the queue, or it took too long
            item = NotJudged(name, refusal)
        if before is not None:
            await asyncio.wait([before])  # also where this one was refused at once
        found = None
        if part is not None:
            found = await asyncio.to_thread(self._service.parts.add, part, [item], views=views)
        if shot.answer is not None:
            with suppress(InvalidStateError):  # who called has gone
                shot.answer.set_result((item, found))
        if isinstance(item, Judged):
            self._remember(item, frame.taken, part, shown[0])
        else:
            self._service.events.publish("source", state="refused", reason=item.refusal.detail)

    def _remember(self, item: Judged, taken: float, part: str | None, picture: LivePicture) -> None:
        judged = item.prediction
        picture.facts = {
            "number": picture.number,
            "name": item.name,
            "part": part,
            "product": judged.product,
            "verdict": judged.verdict,
            "score": judged.score,
            "p_value": judged.p_value,
            "times_limit": judged.times_limit,
            "calibration": item.version,
            "taken": taken,
            "milliseconds": round(1000 * (time.time() - taken), 1),
            "id": item.id,
            "size": list(picture.size),
        }
        with self._lock:
            self.judged = picture.number
            self.counts[judged.verdict or "none"] += 1
            self._times.append(time.monotonic())
            self._last.append(picture)
        self._service.events.publish("live", **picture.facts)


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """No larger than a screen shows it."""
    factor = -(-max(pixels.shape[:2]) // _SHOWN)
    return pixels if factor == 1 else np.asarray(Image.fromarray(pixels).reduce(factor))


def _stamp(taken: float, part: str) -> str:
    """A name for a picture that has no file: when it was taken, and of which part."""
    time_of = datetime.fromtimestamp(taken, timezone.utc).strftime("%Y%m%d-%H%M%S.%f")
    return f"{time_of}-{part}" if part else time_of
