"""Score table: scores in order, and how many of them lie below thresholds.

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
    """Scores in ascending order, themselves (repeats allowed) or as distinct bins with counts."""

    values: NDArray[Any]  # (B,) scores, or keys of bins
    counts: NDArray[np.int64] | None = None  # (B,) scores per bin
    #: ``(B,)`` share of a region's overlap, summed per entry; ``None`` for normal pixels.
    weights: NDArray[np.float64] | None = None
    #: How many low bits of the ordered key (see `ordered_keys`) a bin leaves out.
    shift: int | None = None

    @property
    def total(self) -> int:
        """Number of scores."""
        return len(self.values) if self.counts is None else int(self.counts.sum())

    def part(self, start: int, stop: int) -> ScoreTable:
        """Of a table without counts: the scores of these positions."""
        weights = None if self.weights is None else self.weights[start:stop]
        return ScoreTable(self.values[start:stop], weights=weights)

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
    """Joins equal neighbours of ascending ``values``, adding their counts and weights."""
    if len(values) == 0:
        return values, counts, weights
    starts = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))  # (U,)
    return (
        values[starts],
        np.add.reduceat(counts, starts),
        None if weights is None else np.add.reduceat(weights, starts),
    )
