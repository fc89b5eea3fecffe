"""From a network's raw output for one image to its :class:`~blemish.results.Prediction`.

Torch-free, so that a trained model and an exported one give their answers through the same lines.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from blemish.calibration.limits import Calibration, Judgement
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.inspection.explanation import explain
from blemish.inspection.regions import find_regions
from blemish.results import Prediction, Verdict

#: The branch whose objections need an explanation: the anomaly map does not show them.
_LOGICAL = "logical"


def make_prediction(
    sample: Sample,
    *,
    score: float,
    input_map: NDArray[np.float32],
    branches: Mapping[str, float],
    source_size: tuple[int, int],
    preprocessing: Preprocessing,
    calibration: Calibration | None,
    departure: NDArray[np.float32] | None = None,
) -> Prediction:
    """Bring a map to the source image's size and judge it by the calibration.

    Args:
        sample: The image; an empty product means unknown, and the pooled limits are used.
        score: Raw score.
        input_map: ``(H, W)`` float32 at the model's input size.
        branches: Raw branch scores.
        source_size: ``(H_src, W_src)`` in pixels.
        preprocessing: The one that made the input.
        calibration: Limits, or ``None`` for a prediction without verdict.
        departure: ``(h, w)`` where a logical branch saw what departs; explained where that branch
            objects.

    Example: see :meth:`blemish.detector.Detector.predict`.
    """
    product = sample.product or None
    anomaly_map = preprocessing.map_to_source(input_map, source_size)  # (H_src, W_src)
    path = None if sample.image is not None else sample.path
    if calibration is None:
        return Prediction(path, product, score, anomaly_map, branches=dict(branches))
    p_value, verdict = calibration.judge(score, product)
    mask = calibration.mask(anomaly_map, product)
    # A branch the limits do not know has a score and no verdict.
    known = {n: s for n, s in branches.items() if n in calibration.branch_names}
    judged = calibration.judge_branches(known, product)
    explanation = None
    if departure is not None and _objects(judged.get(_LOGICAL), verdict):
        explanation = explain(
            departure, branch=_LOGICAL, preprocessing=preprocessing, source_size=source_size
        )
    return Prediction(
        path=path,
        product=product,
        score=score,
        anomaly_map=anomaly_map,
        p_value=p_value,
        verdict=verdict,
        branches=dict(branches),
        mask=mask,
        regions=find_regions(mask, anomaly_map),
        branch_verdicts={name: judgement.verdict for name, judgement in judged.items()},
        explanation=explanation,
    )


def _objects(logical: Judgement | None, verdict: Verdict) -> bool:
    """Whether the logical branch raises its hand; where it is the only one, the verdict is its."""
    return (verdict if logical is None else logical.verdict) != "ok"
