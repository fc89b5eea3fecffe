"""Trend: verdicts of one product over time, and whether anything has changed since the first.

What ``blemish trend`` prints of files, and a server shows of its line, are the same figures: these.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from blemish.calibration import Calibration
from blemish.calibration.drift import FEWEST, DriftWatch


@dataclass
class Stretch:
    """So many parts, one after the other.

    Attributes:
        start, end: Numbers of the first and of the last part, from 1.
        counts: Verdicts.
        evidence: Of a change, log10, behind its last part.
    """

    start: int
    end: int
    counts: Counter[str] = field(default_factory=Counter)
    evidence: float = 0.0


class TrendWatch:
    """Watches the parts of one product, in the order in which they came.

    Args:
        calibration: The limits by which they are judged.
        product: Whose; ``None``: all, where the model knows one product or none.
        first: Parts that stand for how it was; 0: the good images that calibrated, by their scores
            alone, which must have been held out.
        every: Parts of one stretch.
        rate: Probability that it ever rings while nothing changes.

    Attributes:
        seen: Parts that came.
        stretches: All of them, the last perhaps unfinished.
        rang: Number and name of the part at which it rang first; ``None``: it has not.

    Example:
        >>> from blemish.calibration import CalibrationRecord, calibrate
        >>> from blemish.calibration.trend import TrendWatch
        >>> good = [CalibrationRecord("nut", score=k / 100, peak=k / 100) for k in range(99)]
        >>> watch = TrendWatch(calibrate(good), "nut", first=20)
        >>> any(watch.add(f"{k}.png", "ok", {"score": (k * 37 % 90) / 100}) for k in range(40))
        False
        >>> watch.seen, watch.rang
        (40, None)
    """

    def __init__(
        self,
        calibration: Calibration,
        product: str | None,
        *,
        first: int = 100,
        every: int = 200,
        rate: float = 0.01,
    ) -> None:
        self.product, self.rate, self._first, self._every = product, rate, first, every
        known = {group.product: group for group in calibration.groups}
        group = known.get(product)
        if group is None and product is None and len(known) == 1:  # one product, named by nobody
            group = next(iter(known.values()))
        self.known = group is not None
        self._limit = calibration.limits(product).defect
        self._before: list[dict[str, float]] = []
        if group is not None and not first:
            self._before = [{"score": score} for score in group.scores]
            # Exchangeable with the parts to come are those below one of them, not below a limit
            # that lies between two.
            above = group.scores[bisect_left(group.scores, self._limit) :]
            self._limit = above[0] if above else self._limit
        self._watch: DriftWatch | None = None
        self.seen = 0
        self.stretches: list[Stretch] = []
        self.rang: tuple[int, str] | None = None

    @property
    def watching(self) -> bool:
        """Whether there were parts enough to compare with, and others behind them."""
        return self._watch is not None

    @property
    def threshold(self) -> float:
        """The evidence at which it rings, log10."""
        return -math.log10(self.rate)

    @property
    def evidence(self) -> float:
        """Of a change, log10, by now."""
        return 0.0 if self._watch is None else self._watch.evidence

    @property
    def highest(self) -> float:
        """The largest it ever was."""
        return 0.0 if self._watch is None else self._watch.highest

    @property
    def by_measure(self) -> dict[str, float]:
        """Evidence by each measure alone."""
        return {} if self._watch is None else self._watch.by_measure

    def before(self, measure: str) -> float | None:
        """The mean of a measure over the parts that stand for how it was."""
        found = [part[measure] for part in self._before if measure in part]
        return sum(found) / len(found) if found else None

    def add(self, name: str, verdict: str | None, measures: Mapping[str, float]) -> bool:
        """Take a part: its name, verdict and ``score`` with whatever else is measured.

        Returns whether it rings now, for the first time.
        """
        self.seen += 1
        if (self.seen - 1) % self._every == 0:
            self.stretches.append(Stretch(self.seen, self.seen))
        stretch = self.stretches[-1]
        stretch.end = self.seen
        stretch.counts[verdict or "none"] += 1
        if self.seen <= self._first:
            self._before.append(dict(measures))
        elif self.known:
            if self._watch is None and self._enough():
                self._watch = DriftWatch(self._before, self._limit)
            if self._watch is not None:
                self._watch.add(measures)
        stretch.evidence = self.evidence
        if self.rang is None and self._watch is not None and self._watch.rings(self.rate):
            self.rang = (self.seen, name)
            return True
        return False

    def _enough(self) -> bool:
        return sum(part["score"] < self._limit for part in self._before) >= FEWEST


def odds(evidence: float) -> str:
    """log10 of a capital in words.

    Example:
        >>> from blemish.calibration.trend import odds
        >>> odds(2.4), odds(-1), odds(9)
        ('251 : 1', 'none', '10^9 : 1')
    """
    if evidence <= 0:
        return "none"
    return f"{10**evidence:,.0f} : 1" if evidence < 6 else f"10^{evidence:.0f} : 1"
