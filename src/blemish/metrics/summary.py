"""mAD and its seven metrics by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.errors import DataError
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
