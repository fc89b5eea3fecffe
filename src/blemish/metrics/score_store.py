"""Score stores: scores kept for their table, all of them or in a bounded set of bins."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from blemish.errors import ConfigError
from blemish.metrics.exact_scores import ExactScores
from blemish.metrics.score_table import ScoreTable, merge_equal

Mode = Literal["exact", "histogram"]
DEFAULT_BINS = 1 << 20


def ordered_keys(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Unsigned integers that rank exactly as the float32 values do.

    The bits of a non-negative float already rank like an integer; those of a negative one rank
    backwards. Setting the sign bit of the first and inverting the second puts all in one order,
    so that a bin of keys is an interval of scores whatever their range. Zero has one key only.
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
    """
    full = keys.astype(np.uint32) << np.uint32(shift)
    flip = np.where(full >> np.uint32(31), np.uint32(0x80000000), np.uint32(0xFFFFFFFF))
    values: NDArray[np.float32] = (full ^ flip).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(values), np.float32(-np.inf), values)


def score_store(mode: Mode, *, max_bins: int = DEFAULT_BINS) -> ExactScores | BinnedScores:
    """The store for a mode; weights are given to it either always or never.

    Raises:
        ConfigError: If the mode is unknown or there are fewer than 16 bins.
    """
    if mode == "exact":
        return ExactScores()
    if mode == "histogram":
        return BinnedScores(max_bins=max_bins)
    raise ConfigError(
        f'The mode of a metric is {mode!r}; expected "exact" (every score) or '
        '"histogram" (bounded memory, stated error).'
    )


class BinnedScores:
    """Counts scores in at most ``max_bins`` bins that adapt to the range of the scores.

    A bin is an interval of ordered float32 keys (`ordered_keys`), so no range has to be known.
    It begins with one bin per distinct score, which is exact. Whenever there are more bins than
    allowed, neighbouring pairs are joined by leaving out one more low bit of the key, until there
    are not. Only occupied bins exist, of 12 bytes each, 20 with weights. New scores wait in a
    buffer of up to twice as many, and merging them takes several times that for a moment; the peak
    is measured by ``benchmarks/bench_metrics.py``.
    """

    def __init__(self, *, max_bins: int = DEFAULT_BINS) -> None:
        if max_bins < 16:
            raise ConfigError(
                f"{max_bins} bins are too few; expected at least 16, and {DEFAULT_BINS} (the "
                "default) for an error that does not show in the fourth digit."
            )
        self._max_bins = max_bins
        self._shift = 0
        self._keys = np.empty(0, np.uint32)  # (B,)
        self._counts = np.empty(0, np.int64)  # (B,)
        self._weights: NDArray[np.float64] | None = None  # (B,)
        self._waiting: list[tuple[NDArray[np.uint32], NDArray[np.float64] | None]] = []
        self._waiting_size = 0

    def add(self, values: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> None:
        """Takes ``(M,)`` scores; memory stays bounded."""
        step = 2 * self._max_bins
        for start in range(0, len(values), step):  # a huge map must not pass the bound either
            part = slice(start, start + step)
            if self._waiting_size + len(values[part]) > step:
                self._merge()
            self._waiting.append(
                (ordered_keys(values[part]), None if weights is None else weights[part])
            )
            self._waiting_size += len(values[part])

    def tables(self) -> list[ScoreTable]:
        """All scores so far, in bins: one table."""
        self._merge()
        return [ScoreTable(self._keys, self._counts, self._weights, self._shift)]

    def _merge(self) -> None:
        if not self._waiting:
            return
        keys = np.concatenate([keys for keys, _ in self._waiting])
        given = [weights for _, weights in self._waiting if weights is not None]
        self._waiting, self._waiting_size = [], 0
        keys >>= np.uint32(self._shift)
        weights: NDArray[np.float64] | None = None
        if given:
            order = np.argsort(keys)
            keys, weights = keys[order], np.concatenate(given)[order]
        else:
            keys.sort()
        # run lengths, so that the many equal keys are joined before they meet the bins
        ends = np.flatnonzero(np.concatenate((keys[1:] != keys[:-1], [True])))  # (U,)
        counts = np.diff(ends, prepend=-1)
        if weights is not None:
            weights = np.add.reduceat(weights, np.concatenate(([0], ends[:-1] + 1)))
            old = np.empty(0, np.float64) if self._weights is None else self._weights
            weights = np.concatenate((old, weights))
        keys = np.concatenate((self._keys, keys[ends]))
        counts = np.concatenate((self._counts, counts))
        order = np.argsort(keys, kind="stable")  # two sorted runs: merged in linear time
        keys, counts, weights = merge_equal(
            keys[order], counts[order], None if weights is None else weights[order]
        )
        while len(keys) > self._max_bins:
            self._shift += 1
            keys, counts, weights = merge_equal(keys >> np.uint32(1), counts, weights)
        self._keys, self._counts, self._weights = keys, counts, weights
