"""Scores put in order once, for every metric to read: the common form of exact and binned sets.

A table answers two questions for many thresholds at a time, "how many scores lie below" and "how
many lie below or at", and that is all the ranking metrics need to know of the normal pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ScoreTable:
    """Scores in ascending order.

    Attributes:
        values: ``(B,)`` ascending: the scores themselves (repeats allowed), or distinct bins.
        counts: ``(B,)`` scores per bin; ``None`` where ``values`` are the scores themselves.
        weights: ``(B,)`` share of a region's overlap, summed per entry; ``None`` for normal pixels.
        shift: How many low bits of the ordered key (see `ordered_keys`) a bin leaves out; ``None``
            where ``values`` are scores and not keys.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics.score_table import ScoreTable
        >>> table = ScoreTable(np.array([1.0, 2.0, 2.0, 5.0]))
        >>> table.below(np.array([2.0])).tolist(), table.up_to(np.array([2.0])).tolist()
        ([1], [3])
    """

    values: NDArray[Any]
    counts: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None
    shift: int | None = None

    @property
    def total(self) -> int:
        """Number of scores."""
        return len(self.values) if self.counts is None else int(self.counts.sum())

    def below(self, thresholds: NDArray[Any]) -> NDArray[np.int64]:
        """Number of scores below each threshold, ``(T,)``."""
        return self._cumulative(np.searchsorted(self.values, thresholds, side="left"))

    def up_to(self, thresholds: NDArray[Any]) -> NDArray[np.int64]:
        """Number of scores below or at each threshold, ``(T,)``."""
        return self._cumulative(np.searchsorted(self.values, thresholds, side="right"))

    def _cumulative(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.counts is None:
            return positions
        running = np.concatenate(([0], np.cumsum(self.counts)))  # (B + 1,)
        return running[positions]

    def coarsened(self, shift: int) -> ScoreTable:
        """The same scores in the wider bins of ``shift``; itself if they are as wide already."""
        if self.shift is None or self.counts is None or shift <= self.shift:
            return self
        keys, counts, weights = merge_equal(
            self.values >> np.uint32(shift - self.shift), self.counts, self.weights
        )
        return ScoreTable(keys, counts, weights, shift)


def merge_equal(
    values: NDArray[Any], counts: NDArray[np.int64], weights: NDArray[np.float64] | None
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64] | None]:
    """Joins equal neighbours of ascending ``values``, adding their counts and weights.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics.score_table import merge_equal
        >>> merge_equal(np.array([3, 3, 4]), np.array([1, 5, 2]), None)[1].tolist()
        [6, 2]
    """
    if len(values) == 0:
        return values, counts, weights
    starts = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))  # (U,)
    return (
        values[starts],
        np.add.reduceat(counts, starts),
        None if weights is None else np.add.reduceat(weights, starts),
    )


def ordered_keys(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Unsigned integers that rank exactly as the float32 values do.

    The bits of a non-negative float already rank like an integer; those of a negative one rank
    backwards. Setting the sign bit of the first and inverting the second puts all in one order,
    so that a bin of keys is an interval of scores whatever their range. Zero has one key only.

    Args:
        values: float32 without NaN, any shape.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics.score_table import ordered_keys
        >>> keys = ordered_keys(np.array([-np.inf, -1, -0.0, 0.0, 1e-30, np.inf], "f4"))
        >>> bool((np.diff(keys.astype(int)) >= 0).all()), int(keys[3] - keys[2])
        (True, 0)
    """
    bits = (values + np.float32(0.0)).view(np.uint32)  # -0.0 + 0.0 is 0.0
    negative = bits >> np.uint32(31)
    # 0 - 1 wraps to all ones: the mask is 0xFFFFFFFF for negatives and 0x80000000 for the others
    flip = (np.uint32(0) - negative) | np.uint32(0x80000000)
    keys: NDArray[np.uint32] = bits ^ flip
    return keys


def lowest_value(keys: NDArray[np.uint32], shift: int) -> NDArray[np.float32]:
    """The smallest float32 of each bin, the inverse of `ordered_keys` for ``shift`` 0.

    Bins at the very ends that would reach into the bit patterns of NaN begin at the infinity.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics.score_table import lowest_value, ordered_keys
        >>> lowest_value(ordered_keys(np.array([-2.5, 0.75], "f4")), 0).tolist()
        [-2.5, 0.75]
    """
    full = keys.astype(np.uint32) << np.uint32(shift)
    flip = np.where(full >> np.uint32(31), np.uint32(0x80000000), np.uint32(0xFFFFFFFF))
    values: NDArray[np.float32] = (full ^ flip).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(values), np.float32(-np.inf), values)
