"""How far the scores of anomalous images lie from those of good ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Separation:
    """Distance of two sets of scores.

    Attributes:
        effect_size: Cohen's d, difference of the means over the pooled standard deviation.
        overlap: Overlap coefficient, 0 (apart) to 1 (alike): one minus the largest difference of
            the two distribution functions (Kolmogorov and Smirnov's statistic). That is the common
            area under the two densities where these cross once, and needs no bins.
        good, anomalous: Numbers of scores.
    """

    effect_size: float
    overlap: float
    good: int
    anomalous: int


def separation(good: Sequence[float], anomalous: Sequence[float]) -> Separation:
    """Measure how far anomalous scores lie above good ones.

    Returns:
        The effect size is NaN with fewer than two scores on a side or without any spread; the
        overlap is NaN where a side is empty.

    Example:
        >>> from blemish.evaluation.separation import separation
        >>> found = separation([1.0, 2.0, 3.0], [5.0, 6.0, 7.0])
        >>> found.effect_size, found.overlap
        (4.0, 0.0)
    """
    a, b = np.sort(np.asarray(good, float)), np.sort(np.asarray(anomalous, float))
    effect = overlap = math.nan
    if len(a) >= 2 and len(b) >= 2:
        squares = (len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)
        pooled = math.sqrt(squares / (len(a) + len(b) - 2))
        if pooled > 0:
            effect = float((b.mean() - a.mean()) / pooled)
    if len(a) and len(b):
        points = np.concatenate([a, b])
        below_a = np.searchsorted(a, points, side="right") / len(a)
        below_b = np.searchsorted(b, points, side="right") / len(b)
        overlap = float(1 - np.abs(below_a - below_b).max())
    return Separation(effect, overlap, len(a), len(b))
