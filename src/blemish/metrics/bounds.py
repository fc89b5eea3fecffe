"""Error bounds: how far a binned result can be from the exact one.

A bin tells how many positives and negatives it holds and hides their order. Each bound follows
from the worst and the best order inside every bin, so it is a guarantee and not an estimate; only
the rounding of double precision (about 1e-12) comes on top. An exact ranking has the bound 0.
"""

from __future__ import annotations

import math

import numpy as np

from blemish.metrics.overlap import overlap_area, overlap_range
from blemish.metrics.ranking import NAN, Ranked


def auroc_bound(ranking: Ranked) -> float:
    """Largest possible error of the AUROC.

    A bin with p positives and n negatives adds p·n/2 pairs; in truth between 0 and p·n.
    """
    if ranking.one_class_only:
        return NAN
    if ranking.exact:
        return 0.0
    [whole] = ranking.parts()  # bins are few
    inside = whole.new_tp * (whole.fp - whole.fp_above).astype(np.float64)
    return float(inside.sum() / (2.0 * ranking.positives * ranking.negatives))


def average_precision_bound(ranking: Ranked) -> float:
    """Largest possible error of the average precision."""
    if ranking.one_class_only:
        return NAN
    if ranking.exact:
        return 0.0
    value = ranking.average_precision()
    low, high = average_precision_range(ranking)
    return max(high - value, value - low)


def average_precision_range(ranking: Ranked) -> tuple[float, float]:
    """The smallest and the largest average precision that the counts leave open.

    Best for a bin: its positives come first, all at the precision after the last. Worst: its
    negatives come first, and the j-th positive has precision (TP + j) / (TP + j + FP), where TP
    counts the positives above the bin and FP the negatives down to its end. The sum over j is
    bounded from below by the integral: p - FP · ln((TP + FP + p) / (TP + FP)).
    """
    value = ranking.average_precision()
    if ranking.exact or ranking.one_class_only:
        return value, value
    [whole] = ranking.parts()
    p = whole.new_tp.astype(np.float64)  # (T,)
    tp, fp, above = whole.tp, whole.fp, whole.fp_above
    best = p * tp / (tp + above)
    start = tp - p + fp
    by_integral = p - fp * np.log1p(np.divide(p, start, out=np.zeros_like(p), where=start > 0))
    by_first = p * (tp - p + 1.0) / (tp - p + 1.0 + fp)  # exact for a single positive
    # One positive without negatives is exact; several hide their order behind earlier negatives.
    hidden = (fp > above) | (p > 1)
    worst = np.where(hidden, np.maximum(by_integral, by_first), best)
    low, high = worst.sum() / ranking.positives, best.sum() / ranking.positives
    return min(float(low), value), max(float(high), value)  # the sums round differently


def f1_max_bound(ranking: Ranked) -> float:
    """Largest possible error of F1-max, which a binned set can only underestimate.

    The end of a bin is a threshold of the full set too, so the value found is reached there; at
    most, a bin's positives all come before its negatives.
    """
    if ranking.one_class_only:
        return NAN
    if ranking.exact:
        return 0.0
    [whole] = ranking.parts()
    best = 2.0 * whole.tp / (whole.tp + whole.fp_above + whole.positives)  # (T,)
    return max(float(best.max()) - ranking.f1_max().f1, 0.0)


def overlap_bound(ranking: Ranked, limit: float) -> float:
    """Largest possible error of the area under the overlap curve (AUPRO, AU-sPRO)."""
    if ranking.exact:
        return 0.0 if ranking.has_regions and not ranking.one_class_only else NAN
    area = overlap_area(ranking, limit)
    low, high = overlap_range(ranking, limit)
    return max(high - area, area - low) if area == area else NAN


def bound_text(bound: float) -> str:
    """A bound with one digit, rounded up, so that it is never understated: ``3e-6``."""
    if not bound > 0.0:
        return "0"
    exponent = math.floor(math.log10(bound))
    return f"{math.ceil(bound / 10**exponent)}e{exponent}"
