"""Confusion counts at one given threshold: accuracy, precision, recall and F1."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from blemish.errors import DataError
from blemish.metrics.inputs import scores_and_labels


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


@dataclass(frozen=True)
class Confusion:
    """Counts of right and wrong decisions. A ratio of nothing to nothing is ``nan``.

    Example:
        >>> from blemish.metrics import Confusion
        >>> Confusion(tp=3, fp=1, tn=5, fn=1).f1
        0.75
    """

    tp: int  # defective and called so
    fp: int  # good and called defective (a false alarm)
    tn: int  # good and called so
    fn: int  # defective and called good (a miss)

    @property
    def accuracy(self) -> float:
        """Share of right decisions."""
        return _ratio(self.tp + self.tn, self.tp + self.fp + self.tn + self.fn)

    @property
    def precision(self) -> float:
        """Share of the alarms that are defects; ``nan`` without an alarm."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the defects that are found; ``nan`` without a defect."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """2·TP / (2·TP + FP + FN): 0 if none is found; ``nan`` with neither defect nor alarm."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def figures(self) -> dict[str, float]:
        """Counts and ratios by name."""
        names = ("accuracy", "precision", "recall", "f1")
        return asdict(self) | {name: getattr(self, name) for name in names}


def confusion(scores: ArrayLike, labels: ArrayLike, *, threshold: float) -> Confusion:
    """Counts the decisions "defective if the score is at or above the threshold".

    Args:
        scores: ``(N,)`` raw scores, higher is worse.
        labels: ``(N,)`` bool or 0/1, 1 is defective.
        threshold: On the scale of the scores; from calibration, never from these labels.

    Raises:
        DataError: On a NaN score or threshold, other labels, or different lengths.

    Example:
        >>> from blemish.metrics import confusion
        >>> confusion([0.2, 0.7, 0.9], [0, 0, 1], threshold=0.7)
        Confusion(tp=1, fp=1, tn=1, fn=0)
    """
    values, defective = scores_and_labels(scores, labels)
    if np.isnan(threshold):
        raise DataError("The threshold is NaN; expected a number on the scale of the scores.")
    alarm = values >= threshold  # (N,)
    tp = int(np.count_nonzero(alarm & defective))
    fp = int(np.count_nonzero(alarm & ~defective))
    fn = int(np.count_nonzero(~alarm & defective))
    return Confusion(tp=tp, fp=fp, tn=len(values) - tp - fp - fn, fn=fn)
