"""Tail estimate: the limit for a rate that so few good scores cannot guarantee.

The excesses of the k largest scores over the next one are taken for exponential, the limiting form
of light tails (Pickands, *Statistical inference using extreme order statistics*, 1975, with shape
0). Their mean is not put in as if it were known: of excesses that sum to S the next is beyond x
with probability (1 + x / S)^-k, its predictive distribution, and a new score is above the threshold
with probability (k + 1) / (n + 1). Where the tail is exponential the rate is then met on average,
however small n is. A generalised Pareto tail with a fitted shape lets through more,
four times the rate at n = 8: of so few excesses the shape is noise
(``benchmarks/simulate_tail.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from blemish.calibration.conformal import limit_rank

#: Good scores below which no tail is fitted.
FEWEST = 8
_FEWEST_EXCESSES = 3


def is_estimated(estimate: bool, n: int, rate: float) -> bool:
    """Whether the limit for ``rate`` is an estimate: asked for, and n good scores too few."""
    return estimate and n >= FEWEST and limit_rank(rate, n) == 0


def estimated_limit(good_scores: Sequence[float], rate: float) -> float:
    """The score that a share ``rate`` of good images is estimated to exceed; no guarantee.

    Never below the largest of the scores, so that what that one guarantees is kept.

    Args:
        good_scores: Scores of good images, ascending; at least :data:`FEWEST`.
        rate: Share of good images above the limit, less than 1 / (n + 1).

    Example:
        >>> from blemish.calibration.tail import estimated_limit
        >>> round(estimated_limit([float(s) for s in range(1, 41)], 0.01), 1)
        46.7
    """
    n = len(good_scores)
    k = max(_FEWEST_EXCESSES, math.isqrt(n))
    threshold = good_scores[-k - 1]
    total = sum(score - threshold for score in good_scores[-k:])
    beyond = rate * (n + 1) / (k + 1)  # share of those above the threshold
    return max(good_scores[-1], threshold + total * (beyond ** (-1 / k) - 1))
