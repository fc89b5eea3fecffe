"""Trained network: a method in torch as what judges pixels, on the device where its weights are."""

from __future__ import annotations

import os
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from blemish.inspection.network import NetworkOutput, joined
from blemish.methods.base import Method
from blemish.results import UNKNOWN_PRODUCT
from blemish.runtime.allocation import keep_freed_memory
from blemish.runtime.cores import usable_cores
from blemish.runtime.turns import ask_for_short_turns

#: Pixels of a small pass.
_PASS = 2**19


class MethodNetwork:
    """Calls a trained method on pixels, on the device where its weights are.

    Args:
        method: Trained, in evaluation mode.
        small_passes: Cut a batch into passes of half a million pixels, on the CPU, where they take
            no longer: beside a large picture there is less memory for what lies between layers.
    """

    def __init__(self, method: Method, *, small_passes: bool = False) -> None:
        ready_torch()
        self.method = method
        self.small_passes = small_passes
        self.device = next(method.parameters()).device

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        """Judge pixels ``(N, H, W, 3)`` uint8 at the model's input size."""
        count, height, width, _ = pixels.shape
        if self.small_passes and self.device.type == "cpu":
            count = max(1, _PASS // (height * width))
        if count >= len(pixels):
            return self._pass(pixels)
        starts = range(0, len(pixels), count)
        return joined([self._pass(pixels[start : start + count]) for start in starts])

    def _pass(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        with torch.inference_mode():
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # (N, 3, H, W)
            output = self.method(images.to(self.device))
        known = (*self.method.products, UNKNOWN_PRODUCT)  # -1 is the last
        other = (*self.method.products, "")
        return NetworkOutput(
            maps=output.anomaly_map[:, 0].float().cpu().numpy(),
            scores=output.score.cpu().double().numpy(),
            branches={
                name: values.cpu().double().numpy() for name, values in output.branches.items()
            },
            departures=(
                None if output.departure is None else output.departure[:, 0].float().cpu().numpy()
            ),
            products=(
                None if output.product is None else tuple(known[k] for k in output.product.tolist())
            ),
            rivals=None if output.rival is None else tuple(other[k] for k in output.rival.tolist()),
        )


@cache
def ready_torch() -> None:
    """Set torch's process up as it serves here best, once: memory, turns, and no more threads.

    Threads are no more than the cores that this process may use: torch looks at the affinity mask
    by itself, and not at a quota. Whoever said ``OMP_NUM_THREADS`` is left alone.
    """
    keep_freed_memory()
    ask_for_short_turns()
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > usable_cores():
        torch.set_num_threads(usable_cores())
