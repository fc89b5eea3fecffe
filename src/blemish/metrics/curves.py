"""ROC and PRO curves with few enough points to draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.errors import DataError
from blemish.metrics.ranking import Ranked, Ranking


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


def ranking_roc_curve(ranking: Ranked, *, points: int = 500) -> Curve:
    """`roc_curve` of a ranking at hand."""
    if ranking.one_class_only:
        return _EMPTY
    return _through(ranking, points, regions=False)


def pro_curve(ranking: Ranked, *, points: int = 500) -> Curve:
    """The per-region-overlap curve (PRO, or sPRO for a ranking of saturated defects), thinned.

    Empty without regions or without normal pixels.
    """
    if ranking.one_class_only or not ranking.has_regions:
        return _EMPTY
    return _through(ranking, points, regions=True)


_EMPTY = Curve(np.empty(0), np.empty(0))


def _through(ranking: Ranked, points: int, *, regions: bool) -> Curve:
    """The curve through two vertices per threshold: before and after its scores enter."""
    x, y = np.zeros(1), np.zeros(1)
    pieces = ((part.fp_above, part.fp, *_rates(part, ranking, regions)) for part in ranking.parts())
    for above, at, before, rates in pieces:
        x = np.concatenate((x, np.column_stack((above, at)).ravel() / ranking.negatives))
        y = np.concatenate((y, np.column_stack((before, rates)).ravel()))
        x, y = _thinned(*_new(x, y), points)
    curve = Curve(*_new(np.append(x, 1.0), np.append(y, 1.0)))
    return thinned(curve, points=points)


def _rates(
    part: Ranking, ranking: Ranked, regions: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``(T,)`` rates before and after the scores of each threshold enter."""
    if regions:
        assert part.overlap is not None
        rates, first = part.overlap, part.above[2]
    else:
        rates, first = part.tp / ranking.positives, part.above[0] / ranking.positives
    return np.concatenate(([first], rates[:-1])), rates


def _new(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Without the vertices that repeat the one before."""
    new = np.concatenate(([True], (np.diff(x) > 0) | (np.diff(y) > 0)))
    return x[new], y[new]


def thinned(curve: Curve, *, points: int) -> Curve:
    """The curve with at most ``points`` of its vertices, both ends among them.

    Vertices are chosen at even steps of fpr + rate, so the thinned curve is nowhere farther from
    the full one than 2 / (points - 1), in the sum of both axes.

    Raises:
        DataError: With fewer than 2 points.
    """
    if points < 2:
        raise DataError(f"A curve of {points} points was asked for; expected at least 2.")
    return Curve(*_thinned(curve.fpr, curve.rate, points))


def _thinned(
    x: NDArray[np.float64], y: NDArray[np.float64], points: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of a curve, or its beginning, the vertices at even steps of what will be its length."""
    if len(x) <= points:
        return x, y
    length = x + y  # (V,), from 0 to 2 at the end of the curve
    wanted = np.linspace(0.0, 2.0, points)
    keep = np.unique(np.searchsorted(length, np.append(wanted[wanted < length[-1]], length[-1])))
    return x[keep], y[keep]
