"""Frame grabber: a thread takes what a camera gives; whoever judges takes it from a short queue.

Where frames come faster than they are judged, the oldest that waits gives way and is counted: a
line wants the verdict of the part that is there now. A camera that is lost is opened again, after
half a second, then twice as long each time up to half a minute; both are said.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from blemish.cameras.frame import Camera, Frame
from blemish.cameras.trigger import Trigger
from blemish.errors import BlemishError, first_line

_SHORTEST, _LONGEST = 0.5, 30.0
_NOTHING = np.zeros((0, 0, 3), np.uint8)
State = Literal["connecting", "running", "away", "ended"]


class FrameLostError(BlemishError):
    """A picture that was asked for and is not judged: others took its place, or none came."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame that is to be judged, and who waits for it, where somebody called."""

    frame: Frame
    product: str | None = None
    views: int | None = None  # pictures of the part, where who called says it
    answer: Future[Any] | None = None


class Grabber:
    """Takes frames of one camera, in a thread of its own, once it is started.

    Args:
        camera: Where they come from.
        trigger: Says which of them count.
        on_note: Called with what a person at the line should know, from the thread.
        room: Frames that wait at most.

    Attributes:
        seen: Frames that came.
        fired: Frames that the trigger or a call wanted judged.
        dropped: Of these, how many gave way to newer ones.
        state: Whether frames come.
        reason: Why none do, where none do.
    """

    def __init__(
        self, camera: Camera, trigger: Trigger, on_note: Callable[[str], None], *, room: int = 4
    ) -> None:
        self.camera = camera
        self.seen = self.fired = self.dropped = 0
        self.state: State = "connecting"
        self.reason = ""
        self._trigger, self._note, self._room = trigger, on_note, room
        self._waiting: deque[Shot] = deque()
        self._calls: deque[Shot] = deque()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    def start(self) -> None:
        """Begin to take."""
        self._thread.start()

    def take(self, seconds: float) -> Shot | None:
        """The frame that has waited longest; ``None`` where none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.over, seconds)
            shot = self._waiting.popleft() if self._waiting else None
            self._changed.notify_all()
        return shot

    def call(
        self, part: str = "", product: str | None = None, views: int | None = None
    ) -> Future[Any]:
        """Have the next frame judged, as this part of so many views; its future gives the answer.

        Raises:
            FrameLostError: The camera has ended.
        """
        answer: Future[Any] = Future()
        with self._changed:
            if self.over:
                raise FrameLostError(f"{self.camera.name} gives no pictures any more.")
            self._calls.append(Shot(Frame(_NOTHING, 0.0, part), product, views, answer))
        return answer

    def withdraw(self, answer: Future[Any]) -> None:
        """Nobody waits for it any more."""
        with self._changed:
            self._calls = deque(call for call in self._calls if call.answer is not answer)

    @property
    def over(self) -> bool:
        """Whether no frame will come any more."""
        return self.state == "ended"

    def close(self) -> None:
        """Stop; what waits is not judged."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._end("stopped")

    def _run(self) -> None:
        pause = _SHORTEST
        while not self._stop.is_set():
            reason = "there are no more"
            try:
                with closing(self.camera.frames(self._stop)) as frames:
                    for frame in frames:
                        if self.state != "running":
                            if self.state == "away":
                                self._note(f"{self.camera.name} is back.")
                            self.state, self.reason, pause = "running", "", _SHORTEST
                        self._add(frame)
                        if self._stop.is_set():
                            break
            except Exception as error:  # a camera's library may raise anything
                reason = first_line(error)
            if self._stop.is_set():
                break
            if self.camera.ends:
                self._note(
                    f"{self.camera.name} has ended ({reason}): {self.seen} pictures, "
                    f"{self.dropped} dropped."
                )
                self._end(reason)
                return
            if self.state != "away":
                self._note(f"No pictures from {self.camera.name}: {reason}. Trying again.")
            self.state, self.reason = "away", reason
            self._stop.wait(pause)
            pause = min(2 * pause, _LONGEST)
        self._end("stopped")

    def _end(self, reason: str) -> None:
        with self._changed:
            self.state, self.reason = "ended", reason
            for call in self._calls:
                _lost(call, f"{self.camera.name} gives no pictures any more.")
            self._calls.clear()
            self._changed.notify_all()

    def _add(self, frame: Frame) -> None:
        self.seen += 1
        wanted = self._trigger.fires(frame)
        with self._changed:
            calls, self._calls = self._calls, deque()
            shots = [replace(c, frame=replace(frame, part=c.frame.part)) for c in calls]
            if wanted and not shots:
                shots = [Shot(frame)]
            for shot in shots:
                self.fired += 1
                while len(self._waiting) >= self._room and not self._stop.is_set():
                    if self.camera.waits:
                        self._changed.wait(0.5)
                        continue
                    # Somebody waits for a part that was called: those go last.
                    oldest = next((s for s in self._waiting if not s.answer), self._waiting[0])
                    self._waiting.remove(oldest)
                    self.dropped += 1
                    _lost(oldest, "Newer pictures took its place before it was judged.")
                self._waiting.append(shot)
            self._changed.notify_all()


def _lost(shot: Shot, why: str) -> None:
    if shot.answer is not None:
        with suppress(InvalidStateError):  # who called has gone
            shot.answer.set_exception(FrameLostError(why))
