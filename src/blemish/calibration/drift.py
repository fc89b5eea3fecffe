"""Conformal test martingale: an alarm for drift whose false-alarm rate is known.

Scores of new parts believed good are ranked, one after the other, among those of the good images
and of all parts before; as long as nothing but chance decides their order, the ranks are
independent and uniform. A bet against that, which is fair, wins a factor of 1/δ at any time at all
with a probability of at most δ (Ville's inequality; Vovk, Gammerman & Shafer, *Algorithmic Learning
in a Random World*, 2005; Volkhonskiy et al., *Inductive conformal martingales for change-point
detection*, 2017). The bet is the simple jumper (Vovk et al., *Retrain or not retrain: conformal
test martingales for change-point detection*, 2021), which follows scores that rise or fall.

Defects are no drift: only scores below a limit count, those of the good images likewise. They are
exchangeable still where the limit is one of their order statistics, or does not depend on them.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from blemish.errors import CalibrationError

#: Of the capital, moved between the bets at every step.
_JUMP = 0.01
_BETS = (-1.0, 0.0, 1.0)
#: Good images below which ranks say too little to bet on.
FEWEST = 10


class DriftMartingale:
    """Evidence against "nothing has changed", of one product.

    Args:
        good_scores: Of good images that calibrated.
        limit: Scores at or above it do not count; infinite where there is none.
        seed: Of the numbers that break ties among equal scores.

    Attributes:
        seen: Parts that were counted.
        evidence: log10 of the capital now; 2 is a hundred to one against no change.
        highest: The largest it ever was, which the guarantee speaks of.

    Raises:
        CalibrationError: Fewer than ten good scores below the limit.

    Example:
        >>> import numpy as np
        >>> from blemish.calibration.drift import DriftMartingale
        >>> rng = np.random.default_rng(0)
        >>> watch = DriftMartingale(rng.normal(size=200))
        >>> for score in rng.normal(size=300):
        ...     watch.add(score)
        >>> watch.rings(0.01)
        False
        >>> for score in rng.normal(1, size=300):  # something has changed
        ...     watch.add(score)
        >>> watch.rings(0.01)
        True
    """

    def __init__(
        self, good_scores: Iterable[float], limit: float = math.inf, *, seed: int = 0
    ) -> None:
        self._scores = sorted(float(score) for score in good_scores if score < limit)
        if len(self._scores) < FEWEST:
            raise CalibrationError(
                f"Drift is told from the good images' scores, and {len(self._scores)} are below "
                f"the limit. Expected {FEWEST}: calibrate with more good images."
            )
        self.limit, self.seen = limit, 0
        self._rng = np.random.default_rng(seed)
        self._shares = [1 / len(_BETS)] * len(_BETS)  # of the capital, by bet
        self.evidence = self.highest = 0.0

    def add(self, score: float) -> None:
        """Take one part's score, in the order in which parts came."""
        if not score < self.limit:  # a defect, or not finite
            return
        above = len(self._scores) - bisect_right(self._scores, score)
        equal = len(self._scores) - above - bisect_left(self._scores, score)
        rank = (above + self._rng.random() * (equal + 1)) / (len(self._scores) + 1)
        insort(self._scores, score)
        self.seen += 1
        # A stake of ε gains where ranks are high, one of -ε where they are low: scores that rise.
        moved = [(1 - _JUMP) * share + _JUMP / len(_BETS) for share in self._shares]
        won = [share * (1 + bet * (rank - 0.5)) for share, bet in zip(moved, _BETS, strict=True)]
        gain = sum(won)
        self._shares = [share / gain for share in won]
        self.evidence += math.log10(gain)
        self.highest = max(self.highest, self.evidence)

    def rings(self, rate: float) -> bool:
        """Whether it has ever won 1/rate: by chance alone with a probability of at most rate."""
        return self.highest >= -math.log10(rate)


class DriftWatch:
    """Evidence by several measures of each part: its score, and how its picture looks.

    A bet on each; the mean of what they have won is a fair bet as well, so that the alarm has the
    same guarantee as that of one.

    Args:
        before: Measures of parts that stand for how it was; those of the first are watched.
        limit: Parts whose ``score`` is at or above it do not count.
        seed: As above.

    Attributes:
        evidence, highest: As above, of all measures together.

    Raises:
        CalibrationError: Fewer than ten such parts below the limit.

    Example:
        >>> import numpy as np
        >>> from blemish.calibration.drift import DriftWatch
        >>> rng = np.random.default_rng(0)
        >>> def part(light):
        ...     return {"score": rng.normal(), "brightness": light + rng.normal()}
        >>> watch = DriftWatch([part(120) for _ in range(100)])
        >>> for _ in range(40):
        ...     watch.add(part(126))
        >>> watch.rings(0.01), watch.by_measure["score"] < 1
        (True, True)
    """

    def __init__(
        self, before: Sequence[Mapping[str, float]], limit: float = math.inf, *, seed: int = 0
    ) -> None:
        counted = [part for part in before if part["score"] < limit]
        self._limit = limit
        names = before[0] if before else {"score": 0.0}
        self._bets = {
            name: DriftMartingale((part[name] for part in counted), seed=seed + number)
            for number, name in enumerate(names)
        }
        self.evidence = self.highest = 0.0

    @property
    def by_measure(self) -> dict[str, float]:
        """The evidence of each measure alone; the guarantee is that of all together."""
        return {name: bet.evidence for name, bet in self._bets.items()}

    def add(self, part: Mapping[str, float]) -> None:
        """Take one part's measures, in the order in which parts came."""
        if not part["score"] < self._limit:
            return
        for name, bet in self._bets.items():
            if name in part:
                bet.add(part[name])
        largest = max(bet.evidence for bet in self._bets.values())
        shares = [10 ** (bet.evidence - largest) for bet in self._bets.values()]
        self.evidence = largest + math.log10(sum(shares) / len(shares))
        self.highest = max(self.highest, self.evidence)

    def rings(self, rate: float) -> bool:
        """Whether all together have ever won 1/rate."""
        return self.highest >= -math.log10(rate)
