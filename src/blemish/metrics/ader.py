"""Pixel F1-max as ADer computes it, for comparison with figures published in that framework.

J. Zhang et al., "ADer: A Comprehensive Benchmark for Multi-class Visual Anomaly Detection", 2024,
and its public evaluator. All maps of a category are scaled together to [0, 1] by their smallest
and largest pixel; F1 is taken at the 21 thresholds 0, 0.05, …, 1 with a *strict* comparison, and
1e-8 is added to the denominators. The result depends on the extreme pixels and is at most the
exact F1-max (but for that 1e-8).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.errors import DataError
from blemish.metrics.ranking import NAN
from blemish.metrics.score_table import ScoreTable

_EPSILON = 1e-8


def ader_f1_max(maps: Sequence[NDArray[Any]], masks: Sequence[NDArray[Any] | None]) -> float:
    """Pixel F1-max after ADer, over all pixels of a category.

    Args:
        maps: ``(H, W)`` each.
        masks: ``(H, W)`` each, non-zero is defective; ``None`` for a good image.

    Returns:
        In [0, 1]; ``nan`` without a defective or without a normal pixel, or if all are equal
        (scaling then divides by zero).

    Raises:
        DataError: On NaN, infinite values, or differing shapes.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics import ader_f1_max
        >>> anomaly_map = np.array([[0.0, 0.50, 0.52, 1.0]], "f4")
        >>> round(ader_f1_max([anomaly_map], [np.array([[0, 0, 1, 1]])]), 6)
        1.0
        >>> anomaly_map[0, 1] = 0.51  # between the same two thresholds as the defect
        >>> round(ader_f1_max([anomaly_map], [np.array([[0, 0, 1, 1]])]), 6)
        0.8
    """
    from blemish.metrics.pixel import PixelAccumulator, accumulate_pixels

    pixels = accumulate_pixels(maps, masks, PixelAccumulator(compatibility="ader"))
    return pixels.compute()["pixel_f1_max_ader"]


def ader_f1_max_of_tables(normal: ScoreTable, defective: ScoreTable) -> float:
    """`ader_f1_max` of pixels already in order.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics.ader import ader_f1_max_of_tables
        >>> from blemish.metrics.score_table import ScoreTable
        >>> ader_f1_max_of_tables(ScoreTable(np.array([0.0])), ScoreTable(np.array([])))
        nan
    """
    if normal.total == 0 or defective.total == 0:
        return NAN
    low = min(normal.values[0], defective.values[0])
    span = max(normal.values[-1], defective.values[-1]) - low
    if not np.isfinite(span):
        raise DataError(
            'The maps hold infinite pixels, which "ader" cannot scale to [0, 1]; expected finite '
            "ones. Leave the compatibility out: the exact F1-max allows infinities."
        )
    if span == 0:
        return NAN

    def above(table: ScoreTable, threshold: float) -> int:
        # Scaling keeps the order, so the sorted pixels are searched without scaling all of them,
        # and each is scaled in float32 exactly as the whole map would be.
        end = bisect_right(table.values, threshold, key=lambda value: (value - low) / span)
        return table.total - end

    best = 0.0
    for threshold in np.arange(0.0, 1.0 + 1e-3, 0.05):  # 21 values
        tp, fp = above(defective, threshold), above(normal, threshold)
        precision = tp / (tp + fp + _EPSILON)
        recall = tp / (defective.total + _EPSILON)
        best = max(best, 2.0 * precision * recall / (precision + recall + _EPSILON))
    return best
