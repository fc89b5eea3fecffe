"""Instance normalisation that keeps channels last while it trains.

torch's own puts the channels first, and every convolution behind it turns them back: on a CPU that
took longer than the normalisation.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class InstanceNorm2d(nn.InstanceNorm2d):
    """``(x − mean) / deviation`` of each picture's channel, without weights or running statistics.

    In prediction, and in mixed precision, which torch's own is faster in, it is torch's.

    Shapes: ``(N, C, H, W)`` → the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, input: Tensor) -> Tensor:
        plain = (
            not self.training
            or input.dtype not in (torch.float32, torch.float64)
            or input.shape[2] * input.shape[3] == 1
            or not input.is_contiguous(memory_format=torch.channels_last)
        )
        if plain:
            return super().forward(input)
        found: Tensor = _InstanceNormalised.apply(input, self.eps)
        return found


class _InstanceNormalised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        apart = x - _mean(x)
        scale = (_mean(apart.square()) + eps).rsqrt()
        normed = apart.mul_(scale)
        ctx.save_for_backward(normed, scale)
        return normed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        normed, scale = ctx.saved_tensors
        slope = _mean(gradient * normed)
        through = torch.addcmul(gradient - _mean(gradient), normed, slope, value=-1)
        return through.mul_(scale), None


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)
