"""Exact metrics as pure functions on raw scores and maps.

Three calls give the seven metrics that mAD averages:

- `image_metrics(scores, labels)`: ``image_auroc``, ``image_ap``, ``image_f1_max``
- `pixel_metrics(maps, masks)`: ``pixel_auroc``, ``pixel_ap``, ``pixel_f1_max``, ``pixel_aupro``
- `mean_ad(per_category)`

and `PixelAccumulator` takes maps one by one, with bounded memory and a stated error where asked.
For MVTec LOCO there are `loco_image_auroc` and `SproAccumulator`, for decisions at a threshold
`confusion`. Scores are raw: unbounded, higher is worse, compared with ``>=``. Where one class is
missing a metric is ``nan``; a NaN score is an error. The definitions are in ``docs/metrics.md``.

Example:
    >>> import numpy as np
    >>> from blemish.metrics import image_metrics, mean_ad, pixel_metrics
    >>> mask = np.zeros((8, 8), bool)
    >>> mask[2:4, 2:4] = True
    >>> maps = [mask.astype("f4"), np.zeros((8, 8), "f4")]
    >>> values = image_metrics([m.max() for m in maps], [1, 0])
    >>> values |= pixel_metrics(maps, [mask, None])
    >>> mean_ad([values])
    1.0
"""

from __future__ import annotations

from blemish.metrics.curves import Curve, pro_curve, roc_curve
from blemish.metrics.intervals import Interval, auroc_interval, binomial_interval
from blemish.metrics.pixel import PixelAccumulator, ader_f1_max, aupro
from blemish.metrics.power import Power, power
from blemish.metrics.ranking import F1Max, Ranking, auroc, average_precision, f1_max
from blemish.metrics.spro import (
    LOCO_KINDS,
    SPRO_FPR_LIMITS,
    SaturationRule,
    SproAccumulator,
    loco_image_auroc,
    parse_defects_config,
    spro,
)
from blemish.metrics.summary import (
    MEAN_AD_METRICS,
    Confusion,
    confusion,
    image_metrics,
    mean_ad,
    pixel_metrics,
)

__all__ = [
    "LOCO_KINDS",
    "MEAN_AD_METRICS",
    "SPRO_FPR_LIMITS",
    "Confusion",
    "Curve",
    "F1Max",
    "Interval",
    "PixelAccumulator",
    "Power",
    "Ranking",
    "SaturationRule",
    "SproAccumulator",
    "ader_f1_max",
    "aupro",
    "auroc",
    "auroc_interval",
    "average_precision",
    "binomial_interval",
    "confusion",
    "f1_max",
    "image_metrics",
    "loco_image_auroc",
    "mean_ad",
    "parse_defects_config",
    "pixel_metrics",
    "power",
    "pro_curve",
    "roc_curve",
    "spro",
]
