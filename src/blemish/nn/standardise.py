"""Channel standardisation: the teacher's channels at one scale before they are compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class ChannelStandardiser(nn.Module):
    """Per level and channel ``(f − mean) / std``, with statistics of the training features.

    The levels of a linear-bottleneck network (EfficientNet, MobileNet) are sums of projections
    without ReLU: a few channels are many times larger than the rest, and a cosine over raw
    channels sees only those. Standardised, every channel has its say.

    Shapes: levels ``(N, C_l, H_l, W_l)`` → the same; ``channels`` are the C_l.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        for level, count in enumerate(channels):
            self.register_buffer(f"mean{level}", torch.zeros(1, count, 1, 1))
            self.register_buffer(f"scale{level}", torch.ones(1, count, 1, 1))
        self.levels = len(channels)

    def fit(self, batches: Iterable[Sequence[Tensor]]) -> None:
        """Take mean and standard deviation from batches of levels."""
        count = [0] * self.levels
        sums: list[Tensor | float] = [0.0] * self.levels
        squares: list[Tensor | float] = [0.0] * self.levels
        for levels in batches:
            for index, level in enumerate(levels):
                values = level.double()
                count[index] += values.numel() // values.shape[1]
                sums[index] = sums[index] + values.sum((0, 2, 3))
                squares[index] = squares[index] + values.square().sum((0, 2, 3))
        for index in range(self.levels):
            mean = torch.as_tensor(sums[index]) / count[index]
            variance = torch.as_tensor(squares[index]) / count[index] - mean.square()
            # A channel that never moves on good images would turn noise into an alarm.
            std = variance.clamp_min(0).sqrt()
            std = std.clamp_min(0.05 * float(std.median()))
            getattr(self, f"mean{index}").copy_(mean.view(1, -1, 1, 1))
            getattr(self, f"scale{index}").copy_((1 / std).view(1, -1, 1, 1))

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(
            (level - getattr(self, f"mean{index}")) * getattr(self, f"scale{index}")
            for index, level in enumerate(levels)
        )
