"""Calibration check: was the promise kept on the test set's good images?

At a limit that is the k-th largest of n good scores, the share of good images above it is drawn
from a Beta(k, n + 1 - k) distribution (see ``docs/calibration.md``), so the number among N further
good images is beta-binomial. This is exact, and honest about few calibration images: with 42 of
them, three alarms among 20 good images are no proof that anything is wrong. Between two ranks k is
no whole number, and the same distribution is close (Hutson, *Calculating nonparametric confidence
intervals for quantiles using fractional order statistics*, Journal of Applied Statistics 1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blemish.calibration import Limits
from blemish.metrics.intervals import Interval, binomial_interval

_DOUBT = 0.025


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
    from scipy.stats import betabinom  # slow to import

    rate = limits.unsure_rate if unsure else limits.defect_rate
    rank = rate * (limits.n + 1)
    expected = betabinom(good, rank, limits.n + 1 - rank)
    return PromiseCheck(
        good=good,
        alarms=alarms,
        realised=binomial_interval(alarms, good),
        # Limits pooled over other products promise nothing for this one.
        promised=None if limits.pooled else rate,
        usual=int(expected.ppf(1 - _DOUBT)),
        chance=float(expected.sf(alarms - 1)),
    )


def p_value_band(
    good: int, calibrated: int, *, points: int = 60
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Where the share of good images with p at most α lies in 95 % of cases, point by point.

    Returns α, lower and upper border, ``(P,)`` each with P at most ``points``.
    """
    from scipy.stats import betabinom  # slow to import

    ranks = np.unique(np.linspace(1, calibrated, min(points, calibrated)).round().astype(int))
    expected = betabinom(good, ranks, calibrated + 1 - ranks)
    low, high = expected.ppf(_DOUBT) / good, expected.ppf(1 - _DOUBT) / good
    return ranks / (calibrated + 1), low, high
