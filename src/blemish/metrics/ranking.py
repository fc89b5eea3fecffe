"""Ranking metrics: AUROC, average precision and F1-max from one ordering of the scores.

Only thresholds at which a *positive* appears matter: between two of them recall stands still,
precision falls, and so does F1. So the negatives are sorted as bare numbers, the (few) positives
carry what else is known of them, and every metric is a sum over the distinct positive scores.

Equal scores cannot be told apart by any threshold, so they enter together: AUROC counts half of
each tied pair, AP and F1 see only the far end of the tie. With one class only the metrics are
undefined and the result is ``nan``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.metrics.inputs import scores_and_labels
from blemish.metrics.score_store import lowest_value
from blemish.metrics.score_table import ScoreTable, merge_equal

NAN = float("nan")


class F1Max(NamedTuple):
    """The largest F1 over all thresholds, and the largest threshold that reaches it."""

    f1: float  # in [0, 1], or ``nan`` with one class only
    threshold: float  # a score at or above it counts as defective


class Ranked(ABC):
    """Counts at every threshold that matters, in one part or several; all else follows from them.

    Attributes:
        positives, negatives: Number of all of them.
        has_regions: Whether positives belong to regions.
        exact: False where a bin stands for several scores.
    """

    positives: int
    negatives: int
    has_regions: bool
    exact: bool

    @abstractmethod
    def parts(self) -> Iterator[Ranking]:
        """The counts, the highest thresholds first; each part counts what is above it too."""

    @property
    def one_class_only(self) -> bool:
        """True where the metrics are undefined."""
        return self.positives == 0 or self.negatives == 0

    def auroc(self) -> float:
        """Area under the ROC curve; half of each tied pair counts."""
        if self.one_class_only:
            return NAN
        lost = math.fsum(
            np.dot(part.new_tp.astype(np.float64), (part.fp + part.fp_above).astype(np.float64))
            for part in self.parts()
        )
        return float(1.0 - lost / (2.0 * self.positives * self.negatives))

    def average_precision(self) -> float:
        """Sum over thresholds of precision times the gain in recall (no interpolation)."""
        if self.one_class_only:
            return NAN
        sums = (np.sum(p.new_tp * (p.tp / (p.tp + p.fp))) for p in self.parts())
        return float(math.fsum(sums) / self.positives)

    def f1_max(self) -> F1Max:
        """Largest F1 over all thresholds, with the largest threshold that reaches it."""
        found = F1Max(NAN, NAN)
        if self.one_class_only:
            return found
        for part in self.parts():
            f1 = 2.0 * part.tp / (part.tp + part.fp + self.positives)  # (T,)
            best = int(np.argmax(f1))  # the first, so the highest threshold
            if not f1[best] <= found.f1:
                found = F1Max(float(f1[best]), float(part.thresholds[best]))
        return found

    def found_with(self, false_positives: int) -> int:
        """Most positives at or above a threshold with at most so many negatives there."""
        found = 0
        for part in self.parts():
            reached = int(np.searchsorted(part.fp, false_positives, side="right"))  # fp ascends
            found = int(part.tp[reached - 1]) if reached else found
        return found


@dataclass(frozen=True)
class Ranking(Ranked):
    """All counts in memory, or one part of those that are not."""

    thresholds: NDArray[Any]  # (T,) distinct scores (or bins) of the positives, descending
    tp: NDArray[np.int64]  # (T,) positives at or above the threshold
    fp: NDArray[np.int64]  # (T,) negatives at or above the threshold
    fp_above: NDArray[np.int64]  # (T,) negatives strictly above it; the others of fp are tied
    negatives: int  # number of all negatives
    #: ``(T,)`` mean covered share of the regions, ascending to 1; ``None`` without regions.
    overlap: NDArray[np.float64] | None = None
    exact: bool = True  # False where a bin stands for several scores
    #: ``tp``, ``fp`` and ``overlap`` at the last threshold of the part above.
    above: tuple[int, int, float] = (0, 0, 0.0)

    @property
    def positives(self) -> int:  # type: ignore[override]  # of this part and those above
        return int(self.tp[-1]) if len(self.tp) else 0

    @property
    def has_regions(self) -> bool:  # type: ignore[override]
        return self.overlap is not None

    @property
    def new_tp(self) -> NDArray[np.int64]:
        """``(T,)`` positives that enter at the threshold."""
        return np.diff(self.tp, prepend=self.above[0])

    def parts(self) -> Iterator[Ranking]:
        yield self

    @classmethod
    def from_scores(cls, scores: ArrayLike, labels: ArrayLike) -> Ranking:
        """Ranks ``(N,)`` scores with ``(N,)`` labels, in float64."""
        values, defective = scores_and_labels(scores, labels)
        return cls.from_tables(
            [ScoreTable(np.sort(values[~defective]))], [ScoreTable(np.sort(values[defective]))]
        )

    @classmethod
    def from_tables(
        cls, negatives: Sequence[ScoreTable], positives: Sequence[ScoreTable]
    ) -> Ranking:
        """Ranks positives against negatives, each given in one or more tables.

        Where positives belong to regions they have weights; those of one region add up to one,
        so all together to the number of regions.
        """
        shift = max((t.shift for t in (*negatives, *positives) if t.shift is not None), default=-1)
        if shift >= 0:  # all tables on the grid of the coarsest
            negatives = [t.coarsened(shift) for t in negatives]
            positives = [t.coarsened(shift) for t in positives]
        values, counts, weights = distinct(positives)
        total = sum(table.total for table in negatives)
        below = sum((t.below(values) for t in negatives), np.zeros(len(values), np.int64))
        up_to = sum((t.up_to(values) for t in negatives), np.zeros(len(values), np.int64))
        overlap = None
        if weights is not None and len(weights):
            covered = np.cumsum(weights[::-1])  # (T,), summed over regions
            overlap = covered / covered[-1]  # the last one is the number of regions
        thresholds = values if shift < 0 else lowest_value(values, shift)
        return cls(
            thresholds[::-1],
            np.cumsum(counts[::-1]),
            (total - below)[::-1],
            (total - up_to)[::-1],
            total,
            overlap,
            exact=shift <= 0,
        )


def distinct(
    tables: Sequence[ScoreTable],
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64] | None]:
    """All tables as one of distinct values, ascending, with counts and weights."""
    values = np.concatenate([t.values for t in tables])
    counts = np.concatenate(
        [np.ones(len(t.values), np.int64) if t.counts is None else t.counts for t in tables]
    )
    given = [t.weights for t in tables if t.weights is not None]
    weights = np.concatenate(given) if given else None
    if len(tables) > 1:
        order = np.argsort(values, kind="stable")
        values, counts = values[order], counts[order]
        weights = None if weights is None else weights[order]
    return merge_equal(values, counts, weights)


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a defective score exceeds a good one.

    Args:
        scores: ``(N,)`` raw scores, higher is worse.
        labels: ``(N,)`` bool or 0/1, 1 is defective.

    Returns:
        In [0, 1]; ties count one half; ``nan`` if one class is missing.

    Raises:
        DataError: On NaN, other labels, or different lengths.

    Example:
        >>> from blemish.metrics import auroc
        >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        0.75
    """
    return Ranking.from_scores(scores, labels).auroc()


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Average precision (AP, also AUPR): precision summed over the gains in recall.

    Args and errors as in `auroc`. Equal to scikit-learn's ``average_precision_score``; ``nan`` if
    one class is missing.

    Example:
        >>> from blemish.metrics import average_precision
        >>> round(average_precision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 4)
        0.8333
    """
    return Ranking.from_scores(scores, labels).average_precision()


def f1_max(scores: ArrayLike, labels: ArrayLike) -> F1Max:
    """The largest F1 over all thresholds, and the threshold.

    Args and errors as in `auroc`. ``(nan, nan)`` if one class is missing.

    Example:
        >>> from blemish.metrics import f1_max
        >>> f1_max([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        F1Max(f1=0.8, threshold=0.35)
    """
    return Ranking.from_scores(scores, labels).f1_max()
