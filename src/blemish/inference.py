"""A trained method as a :class:`~blemish.network.Network`, and samples judged with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from blemish import pipeline
from blemish.calibration import Calibration
from blemish.data.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.methods.base import Method
from blemish.network import RawOutput
from blemish.pipeline import OnError
from blemish.results import Prediction

__all__ = ["MethodNetwork", "OnError", "judge_samples", "predict_samples"]


class MethodNetwork:
    """Calls a trained method on pixels, on the device where its weights are.

    Args:
        method: Trained, in evaluation mode.

    Example:
        >>> import numpy as np
        >>> from blemish.inference import MethodNetwork
        >>> from blemish.methods import build_method
        >>> from blemish.teachers import build_teacher
        >>> method = build_method("rd", {}, build_teacher(weights="random"), (64, 64)).eval()
        >>> MethodNetwork(method)(np.zeros((2, 64, 64, 3), np.uint8)).maps.shape
        (2, 64, 64)
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.device = next(method.parameters()).device

    def __call__(self, pixels: NDArray[np.uint8]) -> RawOutput:
        """Judge pixels ``(N, H, W, 3)`` uint8 at the model's input size."""
        with torch.inference_mode():
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # (N, 3, H, W)
            output = self.method(images.to(self.device))
        return RawOutput(
            maps=output.anomaly_map[:, 0].float().cpu().numpy(),
            scores=output.score.double().cpu().numpy(),
            branches={
                name: values.double().cpu().numpy() for name, values in output.branches.items()
            },
        )


def predict_samples(
    method: Method,
    preprocessing: Preprocessing,
    samples: Iterable[Sample],
    *,
    calibration: Calibration | None,
    batch_size: int = 8,
    on_error: OnError | None = None,
) -> Iterator[Prediction]:
    """As :func:`judge_samples`, the predictions alone.

    Example: see :meth:`blemish.detector.Detector.predict`.
    """
    pairs = judge_samples(
        method,
        preprocessing,
        samples,
        calibration=calibration,
        batch_size=batch_size,
        on_error=on_error,
    )
    return (prediction for _, prediction in pairs)


def judge_samples(
    method: Method,
    preprocessing: Preprocessing,
    samples: Iterable[Sample],
    *,
    calibration: Calibration | None,
    batch_size: int = 8,
    on_error: OnError | None = None,
) -> Iterator[tuple[Sample, Prediction]]:
    """:func:`blemish.pipeline.judge_samples` with a trained method in evaluation mode.

    Example: see :meth:`blemish.detector.Detector.judge_test_images`.
    """
    return pipeline.judge_samples(
        MethodNetwork(method),
        preprocessing,
        samples,
        calibration=calibration,
        batch_size=batch_size,
        on_error=on_error,
    )
