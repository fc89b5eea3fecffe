"""Calibration check: was the promise kept on the test set's good images?

At a limit that is the k-th largest of n good scores, the share of good images above it is drawn
from a Beta(k, n + 1 - k) distribution (see ``docs/calibration.md``), so the number among N further
good images is beta-binomial. This is exact, and honest about few calibration images: with 42 of
them, three alarms among 20 good images are no proof that anything is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blemish.calibration import Limits
from blemish.metrics.intervals import Interval, binomial_interval

_DOUBT = 0.025


def alarm_probabilities(good: int, *, rank: int, calibrated: int) -> NDArray[np.float64]:
    """Probability of 0, 1, … N alarms among N good images, if the promise is kept: ``(N + 1,)``.

    The limit is the ``rank``-th largest of ``calibrated`` calibration scores.
    """
    from scipy.stats import betabinom  # slow to import

    alarms = np.arange(good + 1)
    found: NDArray[np.float64] = betabinom.pmf(alarms, good, rank, calibrated + 1 - rank)
    return found


@dataclass(frozen=True)
class PromiseCheck:
    """One limit against the good test images.

    Attributes:
        good: Number of good test images.
        alarms: How many of them were above the limit.
        realised: Their share with its 95 % interval.
        promised: Largest rate that the calibration guarantees; ``None`` where it guarantees none.
        usual: Largest number of alarms that is still usual (97.5 %) under the promise.
        chance: Probability of at least so many alarms if the promise is kept.
    """

    good: int
    alarms: int
    realised: Interval
    promised: float | None
    usual: int
    chance: float

    @property
    def kept(self) -> bool | None:
        """False where so many alarms are unlikely; ``None`` where nothing can be said."""
        if self.promised is None or self.good == 0:
            return None
        return self.chance >= _DOUBT


def check_promise(limits: Limits, *, good: int, alarms: int, unsure: bool = False) -> PromiseCheck:
    """Compare the alarms among a product's good test images with what its limits promise.

    ``unsure`` checks the limit for ``unsure`` in place of the one for ``defect``.

    Example:
        >>> from blemish.calibration import CalibrationRecord, calibrate
        >>> from blemish.report.promise import check_promise
        >>> limits = calibrate([CalibrationRecord("nut", score=s, peak=s) for s in range(99)])
        >>> check_promise(limits.limits("nut"), good=20, alarms=5).kept
        False
    """
    rate = limits.unsure_rate if unsure else limits.defect_rate
    rank = round(rate * (limits.n + 1))
    later = alarm_probabilities(good, rank=rank, calibrated=limits.n)
    return PromiseCheck(
        good=good,
        alarms=alarms,
        realised=binomial_interval(alarms, good),
        # Limits pooled over other products promise nothing for this one.
        promised=None if limits.pooled else rate,
        usual=_quantile(later, 1 - _DOUBT),
        chance=float(later[alarms:].sum()),
    )


def p_value_band(
    good: int, calibrated: int, *, points: int = 60
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Where the share of good images with p at most α lies in 95 % of cases, point by point.

    Returns α, lower and upper border, ``(P,)`` each with P at most ``points``.
    """
    ranks = np.unique(np.linspace(1, calibrated, min(points, calibrated)).round().astype(int))
    low, high = np.empty(len(ranks)), np.empty(len(ranks))
    for i, rank in enumerate(ranks):
        probabilities = alarm_probabilities(good, rank=int(rank), calibrated=calibrated)
        low[i] = _quantile(probabilities, _DOUBT) / good
        high[i] = _quantile(probabilities, 1 - _DOUBT) / good
    return ranks / (calibrated + 1), low, high


def _quantile(probabilities: NDArray[np.float64], share: float) -> int:
    """The smallest number that is not exceeded with a probability of at least ``share``."""
    return min(
        int(np.searchsorted(np.cumsum(probabilities), share - 1e-12)), len(probabilities) - 1
    )
