"""A trained method as a :class:`~blemish.inspection.network.Network`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from blemish.inspection.network import NetworkOutput
from blemish.methods.base import Method


class MethodNetwork:
    """Calls a trained method on pixels, on the device where its weights are.

    Args:
        method: Trained, in evaluation mode.

    Example:
        >>> import numpy as np
        >>> from blemish.model_file.method_network import MethodNetwork
        >>> from blemish.methods.registry import build_method
        >>> from blemish.teachers.teacher import build_teacher
        >>> method = build_method("rd", {}, build_teacher(weights="random"), (64, 64)).eval()
        >>> MethodNetwork(method)(np.zeros((2, 64, 64, 3), np.uint8)).maps.shape
        (2, 64, 64)
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.device = next(method.parameters()).device

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        """Judge pixels ``(N, H, W, 3)`` uint8 at the model's input size."""
        with torch.inference_mode():
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # (N, 3, H, W)
            output = self.method(images.to(self.device))
        return NetworkOutput(
            maps=output.anomaly_map[:, 0].float().cpu().numpy(),
            scores=output.score.double().cpu().numpy(),
            branches={
                name: values.double().cpu().numpy() for name, values in output.branches.items()
            },
            departures=(
                None if output.departure is None else output.departure[:, 0].float().cpu().numpy()
            ),
        )
