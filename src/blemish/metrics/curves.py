"""ROC and PRO curves with few enough points to draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.errors import DataError
from blemish.metrics.ranking import Ranking


@dataclass(frozen=True)
class Curve:
    """A monotone curve from (0, 0) to (1, 1)."""

    fpr: NDArray[np.float64]  # (V,) false-positive rate, ascending
    rate: NDArray[np.float64]  # (V,) true-positive rate (ROC) or mean overlap of the regions (PRO)


def roc_curve(scores: ArrayLike, labels: ArrayLike, *, points: int = 500) -> Curve:
    """The ROC curve of ``(N,)`` scores and labels, thinned to ``points``; see `thinned`.

    Empty if one class is missing.

    Example:
        >>> from blemish.metrics import roc_curve
        >>> roc_curve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).fpr.tolist()
        [0.0, 0.0, 0.5, 0.5, 1.0]
    """
    return ranking_roc_curve(Ranking.from_scores(scores, labels), points=points)


def ranking_roc_curve(ranking: Ranking, *, points: int = 500) -> Curve:
    """`roc_curve` of a ranking at hand."""
    if ranking.one_class_only:
        return _EMPTY
    return _through(ranking, ranking.tp / ranking.positives, points)


def pro_curve(ranking: Ranking, *, points: int = 500) -> Curve:
    """The per-region-overlap curve (PRO, or sPRO for a ranking of saturated defects), thinned.

    Empty without regions or without normal pixels.
    """
    if ranking.one_class_only or ranking.overlap is None:
        return _EMPTY
    return _through(ranking, ranking.overlap, points)


_EMPTY = Curve(np.empty(0), np.empty(0))


def _through(ranking: Ranking, rates: NDArray[np.float64], points: int) -> Curve:
    """The curve through two vertices per threshold: before and after its scores enter."""
    before = np.concatenate(([0.0], rates[:-1]))  # (T,)
    x = np.column_stack((ranking.fp_above, ranking.fp)).ravel() / ranking.negatives  # (2T,)
    y = np.column_stack((before, rates)).ravel()
    x = np.concatenate(([0.0], x, [1.0]))
    y = np.concatenate(([0.0], y, [1.0]))
    new = np.concatenate(([True], (np.diff(x) > 0) | (np.diff(y) > 0)))
    return thinned(Curve(x[new], y[new]), points=points)


def thinned(curve: Curve, *, points: int) -> Curve:
    """The curve with at most ``points`` of its vertices, both ends among them.

    Vertices are chosen at even steps of fpr + rate, so the thinned curve is nowhere farther from
    the full one than 2 / (points - 1), in the sum of both axes.

    Raises:
        DataError: With fewer than 2 points.
    """
    if points < 2:
        raise DataError(f"A curve of {points} points was asked for; expected at least 2.")
    if len(curve.fpr) <= points:
        return curve
    length = curve.fpr + curve.rate  # (V,), from 0 to 2
    keep = np.unique(np.searchsorted(length, np.linspace(0.0, length[-1], points)))
    return Curve(curve.fpr[keep], curve.rate[keep])
