"""Parts of several views: one verdict of all pictures of a part, by Bonferroni's rule.

A part of three views is called defective no more often than a part of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from blemish.calibration.limits import Calibration
from blemish.errors import ConfigError
from blemish.results import Verdict

#: Parts that are complete though begun later, after which a part gets no more views: on a line it
#: has been passed over. More than one, for stations side by side.
_OVERTAKEN = 8
#: Parts that are under way at once: where none is ever complete, as with a camera less than was
#: said, the first are judged by what came of them.
_UNDER_WAY = 256
#: Complete parts that are remembered, for a view that is sent once more because its answer was
#: lost.
_REMEMBERED = 64


class View(NamedTuple):
    """One picture of a part; without score it could not be judged."""

    name: str
    product: str | None = None
    verdict: Verdict | None = None
    p_value: float | None = None
    score: float | None = None


@dataclass(frozen=True)
class PartVerdict:
    """What the pictures of a part say together.

    Attributes:
        part: As the line calls it.
        views: Its pictures, those included that never came or were not judged.
        p_value: The smallest of theirs times their number, at most 1.
        verdict: By the p-value; ``unsure`` also where a view is a defect or was not judged and the
            p-value alone would let it pass. Of one picture that picture's.
        pictures: What came of it.
        calibration: Version of the limits.
    """

    part: str
    views: int
    p_value: float
    verdict: Verdict
    pictures: tuple[View, ...] = ()
    calibration: str | None = None

    @property
    def product(self) -> str | None:
        """The product that all of its pictures show which could be judged."""
        products = {view.product for view in self.pictures if view.score is not None}
        return products.pop() if len(products) == 1 else None

    @property
    def unseen(self) -> int:
        """How many of its pictures have no p-value: they are lost, or of no known product."""
        return self.views - sum(view.p_value is not None for view in self.pictures)


def part_p_value(views: Sequence[float]) -> float:
    """The p-value of a part seen in several pictures: ``min(1, views × smallest)``.

    Bonferroni's rule: valid however the views of a part depend on each other.

    Example:
        >>> from blemish.calibration.parts import part_p_value
        >>> part_p_value([0.5, 0.01, 0.9]), part_p_value([0.7, 0.6])
        (0.03, 1.0)
    """
    if not views:
        raise ConfigError("A part without a picture has no p-value.")
    return min(1.0, len(views) * min(views))


def part_verdict(
    part: str, pictures: Sequence[View], calibration: Calibration, *, views: int = 0
) -> PartVerdict:
    """The verdict of a part at a calibration's rates.

    Args:
        part: As the line calls it.
        pictures: Its views; one that was not judged counts as one that might have been odd.
        calibration: Whose rates decide.
        views: How many there should be, where that is more.

    Example:
        >>> from blemish.calibration import CalibrationRecord, calibrate
        >>> from blemish.calibration.parts import View, part_verdict
        >>> limits = calibrate(CalibrationRecord(None, float(s), float(s)) for s in range(400))
        >>> seen = [View("a", None, "defect", 0.003, 9.0), View("b", None, "ok", 0.6, 1.0)]
        >>> part_verdict("7", seen, limits).verdict
        'defect'
        >>> part_verdict("7", seen, limits, views=5).verdict
        'unsure'
    """
    views = max(views, len(pictures))
    found = [view.p_value for view in pictures if view.p_value is not None]
    p_value = part_p_value([*found, *[1.0] * (views - len(found))])
    doubtful = len(found) < views or any(view.verdict == "defect" for view in pictures)
    verdict: Verdict = "unsure" if doubtful or p_value <= calibration.unsure_rate else "ok"
    if p_value <= calibration.false_alarm_rate:
        verdict = "defect"
    if views == 1:  # the part is its picture
        verdict = pictures[0].verdict or "unsure"
    return PartVerdict(part, views, p_value, verdict, tuple(pictures), calibration.version)


@dataclass
class _UnderWay:
    """A part of which pictures are still to come."""

    views: int
    calibration: Calibration
    pictures: list[View] = field(default_factory=list)
    overtaken: int = 0


class PartsUnderWay:
    """Gathers the views of parts until each is complete.

    Args:
        live: Pictures come from a line: one may be sent twice, which counts once, and a part that
            eight begun later have overtaken, or that 256 wait behind, gets no more, and is judged
            by what came of it.

    Example:
        >>> from blemish.calibration import CalibrationRecord, calibrate
        >>> from blemish.calibration.parts import PartsUnderWay, View
        >>> limits = calibrate(CalibrationRecord(None, float(s), float(s)) for s in range(400))
        >>> parts, seen = PartsUnderWay(), [View(name, None, "ok", 0.7, 1.0) for name in "ab"]
        >>> parts.add("7", seen[:1], limits, views=2)
        []
        >>> [(done.part, done.verdict) for done in parts.add("7", seen[1:], limits, views=2)]
        [('7', 'ok')]
    """

    def __init__(self, *, live: bool = False) -> None:
        self._live = live
        self._under_way: dict[str, _UnderWay] = {}  # in the order in which they were begun
        self._finished: dict[str, PartVerdict] = {}

    def add(
        self, part: str, pictures: Sequence[View], calibration: Calibration, *, views: int
    ) -> list[PartVerdict]:
        """Add views of a part of so many; → parts that are finished by it, its own the last."""
        again = self._finished.get(part)
        if again is not None and set(pictures) <= set(again.pictures):
            return [again]
        found = self._under_way.setdefault(part, _UnderWay(views, calibration))
        found.views, found.calibration = max(found.views, views), calibration
        known = {view for view in found.pictures if self._live and view.score is not None}
        found.pictures += [view for view in pictures if view not in known]
        if len(found.pictures) < found.views:
            crowded = self._live and len(self._under_way) > _UNDER_WAY
            return [self._finish(next(iter(self._under_way)))] if crowded else []
        return [*self._overtaken_by(part), self._finish(part)]

    def forget(self, part: str) -> None:
        """Drop what was gathered of a part: its pictures are taken anew."""
        self._under_way.pop(part, None)

    def rest(self) -> list[PartVerdict]:
        """Finish those of which views are missing, too."""
        return [self._finish(part) for part in list(self._under_way)]

    def _overtaken_by(self, complete: str) -> list[PartVerdict]:
        if not self._live:
            return []
        late = []
        for part, found in self._under_way.items():
            if part == complete:
                break
            found.overtaken += 1
            if found.overtaken == _OVERTAKEN:
                late.append(part)
        return [self._finish(part) for part in late]

    def _finish(self, part: str) -> PartVerdict:
        found = self._under_way.pop(part)
        verdict = part_verdict(part, found.pictures, found.calibration, views=found.views)
        if self._live:
            self._finished[part] = verdict
            if len(self._finished) > _REMEMBERED:
                del self._finished[next(iter(self._finished))]
        return verdict
