"""Input checks of the metrics: what every public function runs before it counts anything."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.errors import DataError


def scores_and_labels(
    scores: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """``(N,)`` scores as float64 and labels, bool or 0/1, as bool; infinities are allowed.

    Raises:
        DataError: On NaN, other labels than 0 and 1, or different lengths.
    """
    score_array = np.asarray(scores, dtype=np.float64)  # (N,)
    label_array = np.asarray(labels)  # (N,)
    if score_array.ndim != 1 or label_array.shape != score_array.shape:
        raise DataError(
            f"Scores have shape {score_array.shape} and labels {label_array.shape}; expected two "
            "one-dimensional arrays of the same length. Pass one score and one label per image."
        )
    if score_array.size and np.isnan(score_array).any():
        raise DataError(
            f"{int(np.isnan(score_array).sum())} of {score_array.size} scores are NaN; a metric "
            "needs numbers. Look for a training that diverged, and drop or repair those images."
        )
    if label_array.dtype != np.bool_:
        strange = np.setdiff1d(label_array, [0, 1])
        if strange.size:
            raise DataError(
                f"Labels hold {strange[:5].tolist()}; expected only 0 (good) and 1 (defective). "
                "Leave out images whose label is unknown."
            )
    return score_array, label_array.astype(np.bool_)


def map_values(anomaly_map: NDArray[Any]) -> NDArray[np.float32]:
    """A checked anomaly map as ``(H, W)`` float32.

    Integer and float64 maps are rounded to the nearest float32, because an anomaly map of blemish
    is float32 and the accumulators hold it so. Infinities are allowed and rank as usual.

    Raises:
        DataError: If it is not a two-dimensional array of real numbers, is empty, holds NaN, or
            a finite value beyond the range of float32.
    """
    array = np.asarray(anomaly_map)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "biuf":
        raise DataError(
            f"The anomaly map has shape {array.shape} and type {array.dtype}; expected (H, W) "
            "real numbers. Pass one map at a time, without batch and channel axes."
        )
    with np.errstate(over="ignore"):
        values = array.astype(np.float32, copy=False)  # (H, W)
    if np.isnan(values).any():
        raise DataError(
            f"The anomaly map of shape {array.shape} holds {int(np.isnan(values).sum())} NaN; a "
            "metric needs numbers. Look for a training that diverged or a division by zero."
        )
    if array.dtype != np.float32 and np.count_nonzero(np.isinf(values)) != np.count_nonzero(
        np.isinf(array)
    ):
        raise DataError(
            "The anomaly map holds values beyond the range of float32 (3.4e38); scale the map "
            "before measuring it. Ranks, and so the metrics, do not change with the scale."
        )
    return values


def check_same_shape(
    anomaly_map: NDArray[Any], mask: NDArray[Any], *, what: str = "the mask"
) -> None:
    """Raises `DataError`, naming both shapes, unless map and mask are equally large."""
    if anomaly_map.shape != mask.shape:
        raise DataError(
            f"The anomaly map has shape {anomaly_map.shape} and {what} {mask.shape}; expected "
            "equal shapes. Resize the map to the source image's size, where the mask is drawn."
        )


def check_fpr_limit(limit: float) -> float:
    """The limit itself; raises `DataError` if it does not lie in (0, 1]."""
    if not 0.0 < limit <= 1.0:
        raise DataError(
            f"The false-positive rate to integrate to is {limit}; expected a number above 0 and "
            "at most 1, such as 0.3 (AUPRO) or 0.05 (AU-sPRO)."
        )
    return float(limit)
