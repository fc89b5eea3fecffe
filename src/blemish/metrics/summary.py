"""Summaries: mAD and its seven metrics by name, and the decisions at a given threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.errors import DataError
from blemish.metrics.inputs import scores_and_labels
from blemish.metrics.pixel import Compatibility, PixelAccumulator, accumulate_pixels
from blemish.metrics.ranking import Ranking
from blemish.metrics.score_store import Mode

MEAN_AD_METRICS = (
    "image_auroc",
    "image_ap",
    "image_f1_max",
    "pixel_auroc",
    "pixel_ap",
    "pixel_f1_max",
    "pixel_aupro",
)


def image_metrics(scores: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """``image_auroc``, ``image_ap`` and ``image_f1_max``, exact, from raw scores.

    Args and errors as in `auroc`; all three are ``nan`` if one class is missing.

    Example:
        >>> from blemish.metrics import image_metrics
        >>> image_metrics([0.2, 0.9, 0.4], [0, 1, 1])
        {'image_auroc': 1.0, 'image_ap': 1.0, 'image_f1_max': 1.0}
    """
    ranking = Ranking.from_scores(scores, labels)
    return {
        "image_auroc": ranking.auroc(),
        "image_ap": ranking.average_precision(),
        "image_f1_max": ranking.f1_max().f1,
    }


def pixel_metrics(
    maps: Sequence[NDArray[Any]],
    masks: Sequence[NDArray[Any] | None],
    *,
    mode: Mode = "exact",
    fpr_limit: float = 0.3,
    compatibility: Compatibility = "none",
) -> dict[str, float]:
    """``pixel_auroc``, ``pixel_ap``, ``pixel_f1_max`` and ``pixel_aupro`` of one category.

    Maps and masks as in `aupro`, options as in `PixelAccumulator`; errors name the map. All are
    ``nan`` if one class is missing.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics import pixel_metrics
        >>> mask = np.eye(3, dtype=bool)
        >>> pixel_metrics([mask.astype("f4")], [mask])["pixel_auroc"]
        1.0
    """
    pixels = PixelAccumulator(mode, fpr_limit=fpr_limit, compatibility=compatibility)
    return accumulate_pixels(maps, masks, pixels).compute()


def mean_ad(
    per_category: Sequence[Mapping[str, float]], *, compatibility: Compatibility = "none"
) -> float:
    """mAD: the plain mean of seven metrics, each first averaged over categories, unweighted.

    Each category has a mapping with at least the seven keys `MEAN_AD_METRICS`, else it is a
    `DataError`; ``ader`` reads ``pixel_f1_max_ader`` in place of ``pixel_f1_max``. ``nan`` if any
    of the values is ``nan``.

    Example:
        >>> from blemish.metrics import MEAN_AD_METRICS, mean_ad
        >>> mean_ad([dict.fromkeys(MEAN_AD_METRICS, 0.5), dict.fromkeys(MEAN_AD_METRICS, 1.0)])
        0.75
    """
    if not per_category:
        raise DataError("mAD of no category was asked for; expected at least one.")
    names = [
        "pixel_f1_max_ader" if compatibility == "ader" and name == "pixel_f1_max" else name
        for name in MEAN_AD_METRICS
    ]
    for position, values in enumerate(per_category):
        missing = [name for name in names if name not in values]
        if missing:
            raise DataError(
                f"Category {position} has no {', '.join(missing)}; mAD needs all seven metrics. "
                "A data set without masks has no mAD: report its image metrics."
            )
    means = [np.mean([values[name] for values in per_category]) for name in names]
    return float(np.mean(means))


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
