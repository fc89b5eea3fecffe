"""Courier: takes messages from a spool and delivers them, in order, at least once each.

What cannot be delivered waits, and everything behind it: after half a second, then twice as long
each time up to a minute. What the other side refuses for good is put aside, and said.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from blemish.calibration.parts import PartVerdict
from blemish.delivery.message import Message, alarm_of, message_of, packed, part_message
from blemish.delivery.senders import NotDeliveredError, Sender, sender_of
from blemish.delivery.spool import Spool
from blemish.delivery.target import Target
from blemish.errors import BlemishError
from blemish.results import Prediction

_SHORTEST, _LONGEST = 0.5, 60.0
#: Draws the overlay of a verdict, once somebody wants it.
Draw = Callable[[], Image.Image]


class _Pace:
    """Keeps messages apart, and counts those between."""

    def __init__(self) -> None:
        self._lock, self._last, self._left_out = threading.Lock(), float("-inf"), 0

    def pass_by(self, seconds: float) -> int | None:
        """How many were kept back before this one; ``None`` where it is kept back too."""
        now = time.monotonic()
        with self._lock:  # a server takes from several threads
            if now - self._last < seconds:
                self._left_out += 1
                return None
            left_out, self._left_out, self._last = self._left_out, 0, now
        return left_out


class Courier:
    """Delivers to one target, in a thread of its own.

    Args:
        target: Where to, and what.
        spool: Where messages wait.
        on_note: Called with what a person at the line should know, from the thread.
        sender: Delivers.
    """

    def __init__(
        self, target: Target, spool: Spool, on_note: Callable[[str], None], sender: Sender
    ) -> None:
        self.target, self.spool, self.delivered = target, spool, 0
        self._note, self._sender = on_note, sender
        self._wake, self._stop = threading.Event(), threading.Event()
        # Apart: the last picture of a part would keep back the part's own verdict.
        self._pictures, self._parts = _Pace(), _Pace()
        self._thread = threading.Thread(target=self._run, name=f"to {target.name}", daemon=True)
        self._thread.start()

    def take(
        self,
        prediction: Prediction,
        model: str,
        *,
        part: str | None = None,
        views: int | None = None,
        taken: float | None = None,
        draw: Draw | None = None,
    ) -> None:
        """Keep a verdict to be delivered, if this target wants it.

        Raises:
            ConfigError: It cannot be kept, as on a full disk.
        """
        # Most are not wanted: nothing is made of them.
        if (self.target.of == "part" and views != 1) or not self.target.wants(prediction):
            return
        left_out = self._pictures.pass_by(self.target.every)
        if left_out is None:
            return
        message = message_of(prediction, model, part=part, views=views, taken=taken)
        message.left_out = left_out
        if self.target.overlay:
            with contextlib.suppress(BlemishError):  # the verdict is no worse without its picture
                message.overlay = packed((draw or prediction.overlay)())
        self._keep(message)

    def take_part(self, found: PartVerdict, model: str) -> None:
        """Keep the verdict of a part to be delivered, if this target wants it."""
        if self.target.of == "picture" or not self.target.wants(found):
            return
        left_out = self._parts.pass_by(self.target.every)
        if left_out is not None:
            message = part_message(found, model)
            message.left_out = left_out
            self._keep(message)

    def tell(self, message: Message) -> None:
        """Keep an alarm to be delivered: whoever wants verdicts of its product wants it too."""
        if not self.target.products or message.product in self.target.products:
            self._keep(message)

    def _keep(self, message: Message) -> None:
        self.spool.put(message.id, message.model_dump_json())
        self._wake.set()

    def close(self, patience: float) -> None:
        """Deliver what waits for at most ``patience`` seconds; the rest stays in the spool."""
        end = time.monotonic() + patience
        while len(self.spool) and time.monotonic() < end and self._thread.is_alive():
            time.sleep(0.05)
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=15)
        left = len(self.spool)
        if left:
            self._note(
                f"{left} verdict(s) for {self.target.name} wait in {self.spool.path}: the next "
                "run with the same --send delivers them."
            )
        self._sender.close()
        self.spool.close()

    def _run(self) -> None:
        pause, away, dropped = _SHORTEST, False, 0
        while not self._stop.is_set():
            waiting = self.spool.first()
            if waiting is None:
                self._wake.wait(1.0)
                self._wake.clear()
                continue
            number, identity, content = waiting
            try:
                self._sender.send(identity, content)
            except NotDeliveredError as error:
                if not error.ever:
                    self.spool.refuse(number, str(error))
                    self._note(f"A verdict was refused for good by {self.target.name}: {error}.")
                    continue
                if not away:
                    away = True
                    self._note(f"Cannot reach {self.target.name}: {error}. Verdicts wait on disk.")
                if self.spool.dropped > dropped:
                    dropped = self.spool.dropped
                    self._note(f"Too many wait for {self.target.name}: {dropped} oldest dropped.")
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST)
                continue
            if away:
                away = False
                self._note(f"{self.target.name} is back; {len(self.spool)} verdict(s) wait.")
            pause = _SHORTEST
            self.spool.arrived(number)
            self.delivered += 1


class Couriers:
    """All targets of a run; to be entered by ``with``.

    Args:
        targets: One line of text each, see :meth:`blemish.delivery.target.Target.parse`.
        model: Name of the model file, for the messages.
        folder: Where the spools are; made where there is none.
        on_note: Called with what a person at the line should know.
        patience: Seconds at the end to deliver what waits.

    Raises:
        ConfigError: A target that is none, a spool in use, a folder that cannot be written.
        MissingExtraError: A target's library is not installed.
    """

    def __init__(
        self,
        targets: Sequence[str],
        *,
        model: str,
        folder: Path,
        on_note: Callable[[str], None],
        patience: float = 20.0,
    ) -> None:
        self.model, self._patience = model, patience
        self._couriers: list[Courier] = []
        parsed = [Target.parse(text) for text in targets]
        try:
            for target in parsed:
                sender = sender_of(target)
                spool = Spool(folder / f"{target.key}.sqlite")
                if len(spool):
                    on_note(f"{len(spool)} verdict(s) for {target.name} wait from before.")
                self._couriers.append(Courier(target, spool, on_note, sender))
        except BaseException:
            self._patience = 0.0
            self.__exit__()
            raise

    def take(
        self,
        prediction: Prediction,
        *,
        part: str | None = None,
        views: int | None = None,
        taken: float | None = None,
        draw: Draw | None = None,
    ) -> None:
        """Keep a verdict for every target that wants it.

        Args:
            prediction: What is said.
            part: Of which part, where the line says so.
            views: How many pictures that part has.
            taken: When its picture was taken, in seconds since 1970, where a camera says so.
            draw: Gives the overlay for targets that want it; by default the prediction's own, of
                the file that it names.
        """
        for courier in self._couriers:
            courier.take(prediction, self.model, part=part, views=views, taken=taken, draw=draw)

    def take_part(self, found: PartVerdict) -> None:
        """Keep the verdict of a part for every target that wants it.

        That of one picture is told with the picture, unless it could not be judged.
        """
        if found.views == 1 and found.pictures[0].score is not None:
            return
        for courier in self._couriers:
            courier.take_part(found, self.model)

    def tell(self, product: str | None, sentence: str) -> None:
        """Keep an alarm for every target: that a product has changed, and what to do."""
        for courier in self._couriers:
            courier.tell(alarm_of(product, sentence, self.model))

    def waiting(self) -> dict[str, int]:
        """How many messages wait for each target, by its name without passwords."""
        return {courier.target.name: len(courier.spool) for courier in self._couriers}

    def __enter__(self) -> Couriers:
        return self

    def __exit__(self, *error: object) -> None:
        for courier in self._couriers:
            courier.close(self._patience)
