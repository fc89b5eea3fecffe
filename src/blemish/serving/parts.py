"""Served parts: views gathered over requests and a camera's pictures until a part is complete.

Its verdict then goes to the line, behind those of its pictures. What is half gathered when a
server is killed is lost, so that such a part is at best unsure.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from blemish.calibration.parts import PartsUnderWay, PartVerdict, View
from blemish.serving.history.versions import CalibrationVersions
from blemish.serving.order import Delivery, Judged, NotJudged


class ServedParts:
    """Gathers views by part; may be called from several threads.

    Args:
        versions: The limits by which each picture was judged; the last one's rates decide.
        delivery: Is told of each part that is finished.
    """

    def __init__(self, versions: CalibrationVersions, delivery: Delivery | None) -> None:
        self._versions, self._delivery = versions, delivery
        self._under_way = PartsUnderWay(live=True)
        self._lock = threading.Lock()

    def add(
        self, part: str | None, items: Sequence[Judged | NotJudged], *, views: int
    ) -> PartVerdict | None:
        """Add pictures of a part of so many views.

        Returns:
            Its verdict, where it is complete now; ``None`` where it is not, none was named, or
            there are no limits.
        """
        if not part:
            return None
        numbers = [item.version for item in items if isinstance(item, Judged)]
        version = self._versions.get(numbers[-1]) if numbers else self._versions.active
        if version.calibration is None:
            return None
        seen = [_view(item) for item in items]
        with self._lock:  # parts are told in the order in which they were finished
            finished = self._under_way.add(part, seen, version.calibration, views=views)
            self._tell(finished)
        return finished[-1] if finished and finished[-1].part == part else None

    def forget(self, part: str) -> None:
        """Drop what was gathered of a part: whoever asked for its pictures got no answer."""
        with self._lock:
            self._under_way.forget(part)

    def close(self) -> None:
        """Finish those of which views are missing."""
        with self._lock:
            self._tell(self._under_way.rest())

    def _tell(self, finished: Sequence[PartVerdict]) -> None:
        if self._delivery is not None:
            for found in finished:
                self._delivery.take_part(found)


def _view(item: Judged | NotJudged) -> View:
    if not isinstance(item, Judged):
        return View(item.name)
    found = item.prediction
    return View(item.name, found.product, found.verdict, found.p_value, found.score)
