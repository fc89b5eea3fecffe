"""Conformal p-values: how odd a score is among good ones, and the verdict at a rate.

For a new image with score s and n held-out good images with scores s_1 … s_n, the p-value is
p(s) = (1 + #{s_i >= s}) / (n + 1). If the new image is good too and exchangeable with them, then
P(p <= α) <= α, whatever the distribution and however small n is (Vovk, Gammerman & Shafer,
*Algorithmic Learning in a Random World*, 2005; Laxhammar & Falkman, *Conformal prediction for
distribution-independent anomaly detection*, 2010).

``p <= α`` and ``s > limit`` are the same statement when the limit is the k-th largest good score,
k = floor(α (n + 1)): at most k - 1 good scores are then >= s. This holds with ties too, for both
sides count the good scores that are *at least* s. With k = 0 no score can reach α.

That holds the rate k / (n + 1), of which α may be twice as much: of 180 images it is 0.55 % for
1 %. So the limit lies between that score and the next, where α lies between k and k + 1 steps
(interpolated order statistics: Hyndman & Fan, *Sample quantiles in statistical packages*, The
American Statistician 1996, definition 6; as prediction limits: Beran & Hall, *Interpolated
nonparametric prediction intervals and confidence intervals*, JRSS B 1993). A p-value stays a whole
number of steps: ``p <= α`` is always above the limit, and above it p is less than α + 1 / (n + 1).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from pydantic import FiniteFloat

from blemish.errors import CalibrationError
from blemish.results import Verdict

#: Scores of good images, ascending.
Scores = tuple[FiniteFloat, ...]


def p_value(score: float, good_scores: Scores) -> float:
    """Share of good images at least as odd as this one, itself among them; scores ascending.

    Example:
        >>> from blemish.calibration.conformal import p_value
        >>> p_value(3.0, (1.0, 2.0, 3.0, 4.0))
        0.6
    """
    n = len(good_scores)
    return (1 + n - bisect_left(good_scores, score)) / (n + 1)


def times_limit(score: float, middle: float, limit: float) -> float | None:
    """How far beyond: 0 at the median of the good scores, 1 at the limit, on in the same steps.

    Raw scores have no zero and no unit of their own; their distance from usual good images has one,
    the limit's. Multiplied or shifted scores give the same figure. It rises with the score and,
    unlike a p-value, never saturates.

    Args:
        score: Raw anomaly score.
        middle: Median of the good scores.
        limit: The score above which the verdict is ``defect``.

    Returns:
        ``None`` where the limit is not above the median, as of one good image, or where most have
        the same score: there is then no distance to measure by.

    Example:
        >>> from blemish.calibration.conformal import times_limit
        >>> times_limit(13.0, -3.0, 1.0), times_limit(-5.0, -3.0, 1.0)
        (4.0, -0.5)
    """
    if not limit > middle:
        return None
    times = (score - middle) / (limit - middle)
    return times if math.isfinite(times) else None


def limit_rank(rate: float, n: int) -> int:
    """Rank, from the largest, of the lowest good score that may be a limit at ``rate``; 0 if none.

    This is the largest k with k / (n + 1) <= rate in floating point, floor(rate · (n + 1)). The
    product would be wrong by one now and then (0.29 · 100 is 28.999…), and p-values, which are such
    fractions, would disagree.
    """
    k = math.floor(rate * (n + 1))
    if (k + 1) / (n + 1) <= rate:
        return k + 1
    return k - 1 if k / (n + 1) > rate else k


def in_groups(sizes: Sequence[int]) -> bool:
    """Whether images come in groups of these sizes: of two on average, and not one pair by chance.

    Example:
        >>> from blemish.calibration.conformal import in_groups
        >>> in_groups([8] * 30), in_groups([2, *[1] * 200])
        (True, False)
    """
    return sum(sizes) >= 2 * len(sizes)


def limit_between(rate: float, n: int, *, grouped: bool = False) -> tuple[int, float]:
    """Rank of the good score at or above :func:`limit_at`, 1 at least, and the way to the next.

    The way is in [0, 1); rounding of a whole number of steps is none.
    """
    k = limit_rank(rate, n)
    way = rate * (n + 1) - k
    return (k, way if way > 1e-9 and not grouped else 0.0) if k else (1, 0.0)


def limit_at(rate: float, good_scores: Sequence[float], *, grouped: bool = False) -> float:
    """Conformal quantile: the limit that a share ``rate`` of good images exceeds.

    Between the k-th largest of n good scores and the next, k = :func:`limit_rank`, by as much as
    ``rate`` lies between k / (n + 1) and (k + 1) / (n + 1). Of a good image that is exchangeable
    with the others

    - about ``rate`` is above it, and no more where the density of scores falls, or stays, wherever
      these two can lie: the share above is then convex, between two scores no more than the
      straight line, whose mean over draws is the rate;
    - at most (k + 1) / (n + 1), whatever the distribution: more than the rate by less than a step.

    Where ``rate`` is a whole number of steps 1 / (n + 1) it is the k-th largest, and all are one.
    So it is of images that come in groups, since new groups are above it more often. With fewer
    than :func:`images_needed` scores it is the largest, for 1 / (n + 1). Other than a rank it
    depends on the unit of the scores: that of their logarithms is not its logarithm.

    Args:
        rate: Share of good images, in (0, 0.5].
        good_scores: Finite scores of good images, ascending; at least one.
        grouped: Whether the images come in groups, see :func:`in_groups`.

    Example:
        >>> from blemish.calibration.conformal import limit_at
        >>> good = [float(score) for score in range(1, 25)]
        >>> limit_at(0.04, good), limit_at(0.05, good), limit_at(0.01, good)
        (24.0, 23.75, 24.0)
    """
    k, way = limit_between(rate, len(good_scores), grouped=grouped)
    upper = good_scores[-k]
    if not way:
        return upper
    lower = good_scores[-k - 1]
    return max(lower, upper - way * (upper - lower))


def guaranteed_rate(rate: float, sizes: Sequence[int]) -> float:
    """Rate at which good images are above :func:`limit_at` of n good scores.

    Of images that are exchangeable each, all ``sizes`` 1: ``rate`` itself, on the condition that
    stands there, or 1 / (n + 1) where they are too few for it.

    Of groups that are exchangeable as wholes, as parts or lots are, a bound for any distribution:
    (r + m - 1) / (n + 1) with m images in the largest and r the rank of the score at or below the
    limit. Put a new group beside the others, and at most r + m - 1 of all images have fewer than
    r of other groups above them, for of their own at most m - 1 are. Of groups of one size that
    is exact for n + m in place of n + 1; of others it holds for the share of all images.

    Example:
        >>> from blemish.calibration.conformal import guaranteed_rate
        >>> guaranteed_rate(0.01, [1] * 120), guaranteed_rate(0.04, [4] * 30 + [3] * 3)
        (0.01, 0.06153846153846154)
        >>> guaranteed_rate(0.05, [1] * 9)
        0.1
    """
    n, largest = sum(sizes), max(sizes)
    if largest == 1:
        return max(rate, 1 / (n + 1))
    k, way = limit_between(rate, n, grouped=in_groups(sizes))
    return min(k + (way > 0) + largest - 1, n) / (n + 1)


def images_needed(rate: float) -> int:
    """The smallest number of good images with which a verdict at ``rate`` is possible.

    Example:
        >>> from blemish.calibration.conformal import images_needed
        >>> images_needed(0.01), images_needed(0.05)
        (99, 19)
    """
    if rate < 2**-52:  # beyond this, steps of one image are lost in floating point
        return math.ceil(1 / Fraction(rate))
    n = max(math.ceil(1 / rate) - 2, 1)
    while limit_rank(rate, n) == 0:
        n += 1
    return n


class Judgement(NamedTuple):
    """The p-value of a score, and the verdict by the two limits.

    A p-value at or below the false-alarm rate is always a ``defect``. One above it can be: by less
    than a step, 1 / (n + 1), within which the limit lies; or where the good images are too few for
    the rate, since it is never smaller than that. ``Calibration.notes`` says so.
    """

    p_value: float
    verdict: Verdict


def judge(score: float, good_scores: Scores, defect: float, unsure: float) -> Judgement:
    """The p-value of a score, and the verdict by the two limits.

    Raises:
        CalibrationError: The score is not a finite number.
    """
    score = float(score)
    if not math.isfinite(score):
        raise CalibrationError(
            f"The score of this image is {score}, not a finite number: no verdict can be given. "
            "The model file may be damaged, or its training did not converge."
        )
    if score > defect:
        verdict: Verdict = "defect"
    elif score > unsure:
        verdict = "unsure"
    else:
        verdict = "ok"
    return Judgement(p_value(score, good_scores), verdict)
