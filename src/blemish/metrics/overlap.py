"""Per-region overlap: connected components, and the one integral that AUPRO and AU-sPRO are.

The curve has the false-positive rate over all normal pixels on its x axis and the mean covered
share of the regions on its y axis. Where normal pixels stand alone between two defective scores
it runs level; where they are tied with defective ones it rises on a slant; where only defective
ones enter it rises straight up. So the counts of a `Ranking` describe it completely.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blemish.errors import MissingExtraError
from blemish.metrics.inputs import check_fpr_limit
from blemish.metrics.ranking import NAN, Ranked, Ranking


def component_weights(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """For every defective pixel of ``(H, W)`` one over the area of its component.

    Components are 8-connected: pixels that touch at a corner belong together. Summed over the
    pixels at or above a threshold, these weights give the covered fractions, added over
    components; that is what turns AUPRO into a cumulative sum. They are ``(P,)``, in the order of
    ``map[mask]``.
    """
    try:
        from scipy import ndimage  # not in the base package
    except ModuleNotFoundError as error:
        raise MissingExtraError("Measuring AUPRO", "train") from error

    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        return np.empty(0, np.float64)
    columns = np.flatnonzero(mask.any(axis=0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # (h, w): labels less
    labels, count = ndimage.label(box, structure=np.ones((3, 3), np.int8))
    ids = labels[box]  # (P,), the row-major order of map[mask]
    areas = np.bincount(ids, minlength=count + 1)  # (K + 1,)
    weights: NDArray[np.float64] = 1.0 / areas[ids]
    return weights


def overlap_area(ranking: Ranked, limit: float) -> float:
    """Area under the overlap curve up to the false-positive rate ``limit``, divided by it.

    In [0, 1], linear where the limit falls into a tie; ``nan`` without regions or normal pixels.
    """
    check_fpr_limit(limit)
    if not ranking.has_regions or ranking.one_class_only:
        return NAN
    areas, fp = [], 0
    for part in ranking.parts():
        assert part.overlap is not None  # it has regions
        level, slant = _widths(part, limit)
        before = np.concatenate(([part.above[2]], part.overlap[:-1]))  # (T,) covered above
        # On the slant the curve is a line from `before` to `overlap`; `slant` is the part inside
        # the limit, and `full` the whole of it, so the mean height of the part is known.
        full = (part.fp - part.fp_above) / part.negatives  # (T,)
        share = np.divide(slant, full, out=np.zeros_like(full), where=full > 0)
        rise = (part.overlap - before) * share  # (T,)
        areas += [np.dot(level, before), np.dot(slant, before + rise / 2.0)]
        fp = int(part.fp[-1])
    return float((math.fsum(areas) + _tail(fp / ranking.negatives, limit)) / limit)


def overlap_range(ranking: Ranked, limit: float) -> tuple[float, float]:
    """The smallest and the largest `overlap_area` that the counts leave open.

    Inside a bin the order of the scores is unknown: the curve may run along its lower or its upper
    edge. For an exact ranking both ends are the area itself.
    """
    area = overlap_area(ranking, limit)
    if ranking.exact or not ranking.has_regions or ranking.one_class_only:
        return area, area
    [whole] = ranking.parts()  # bins are few
    assert whole.overlap is not None
    level, slant = _widths(whole, limit)
    before = np.concatenate(([0.0], whole.overlap[:-1]))  # (T,)
    common = np.dot(level, before) + _tail(float(whole.fp[-1]) / whole.negatives, limit)
    low = (common + np.dot(slant, before)) / limit
    high = (common + np.dot(slant, whole.overlap)) / limit
    return float(low), float(high)


def _widths(ranking: Ranking, limit: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per threshold the widths, inside the limit, of the level and of the slanting part."""
    above = np.minimum(ranking.fp_above / ranking.negatives, limit)  # (T,)
    at = np.minimum(ranking.fp / ranking.negatives, limit)  # (T,)
    previous = np.concatenate(([min(ranking.above[1] / ranking.negatives, limit)], at[:-1]))
    return above - previous, at - above


def _tail(last: float, limit: float) -> float:
    """Area to the right of the last defective score, where everything is covered."""
    return limit - min(last, limit)
