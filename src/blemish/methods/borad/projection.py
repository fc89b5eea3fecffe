"""Projections of the teacher's levels before the bottleneck, and running averages of them.

Tien et al., "Revisiting Reverse Distillation for Anomaly Detection" (RD++), CVPR 2023.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

#: Divisors of a projection's channels in RD++ and BoRAD.
STATED = (2, 4, 2)
_FEWEST = 8  # channels of a convolution that processors compute as fast as one


def conv_norm_act(inputs: int, outputs: int, *, kernel: int) -> nn.Sequential:
    """Convolution, instance normalisation, LeakyReLU; keeps the size.

    Example:
        >>> import torch
        >>> from blemish.methods.borad.projection import conv_norm_act
        >>> tuple(conv_norm_act(4, 6, kernel=3)(torch.zeros(2, 4, 8, 8)).shape)
        (2, 6, 8, 8)
    """
    return nn.Sequential(
        # Without bias: the normalisation would take it out again.
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.InstanceNorm2d(outputs),
        nn.LeakyReLU(inplace=True),
    )


class Projection(nn.Module):
    """A narrow detour of 3×3 convolutions that normal features survive.

    Args:
        channels: Channels C of the level.
        divisors: What the channels are divided by after each convolution but the last, which
            brings them back; never to fewer than eight, where the level has as many. RD++ and
            BoRAD state (2, 4, 2): C → C/2 → C/4 → C/2 → C.
        residual: Add the detour to the level instead of replacing it, times a learned factor per
            channel that starts at zero: at first the level passes as it is.

    Shapes: ``(N, C, H, W)`` → the same.

    Example:
        >>> import torch
        >>> from blemish.methods.borad.projection import Projection
        >>> tuple(Projection(8)(torch.zeros(2, 8, 4, 4)).shape)
        (2, 8, 4, 4)
    """

    def __init__(
        self, channels: int, *, divisors: Sequence[int] = STATED, residual: bool = False
    ) -> None:
        super().__init__()
        narrow = (max(min(channels, _FEWEST), channels // divisor) for divisor in divisors)
        widths = (channels, *narrow, channels)
        self.detour = nn.Sequential(
            *(conv_norm_act(a, b, kernel=3) for a, b in itertools.pairwise(widths))
        )
        self.scale = nn.Parameter(torch.zeros(1, channels, 1, 1)) if residual else None

    def forward(self, level: Tensor) -> Tensor:
        projected = self.detour(level)
        return projected if self.scale is None else level + self.scale * projected


class LevelProjections(nn.Module):
    """One :class:`Projection` per level.

    Args:
        channels: Channels of the levels.
        divisors, residual: As for :class:`Projection`.

    Example:
        >>> import torch
        >>> from blemish.methods.borad.projection import LevelProjections
        >>> project = LevelProjections((8, 16))
        >>> [tuple(f.shape) for f in project((torch.zeros(1, 8, 4, 4), torch.zeros(1, 16, 2, 2)))]
        [(1, 8, 4, 4), (1, 16, 2, 2)]
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        divisors: Sequence[int] = STATED,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            Projection(c, divisors=divisors, residual=residual) for c in channels
        )

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(p(f) for p, f in zip(self.projections, levels, strict=True))


def frozen_copy(module: nn.Module) -> nn.Module:
    """A copy that no optimiser trains, to be moved by :func:`move_average`.

    Example: see :func:`move_average`.
    """
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def move_average(average: nn.Module, online: nn.Module, momentum: float) -> None:
    """``average ← momentum · average + (1 − momentum) · online``, parameter by parameter.

    Example:
        >>> from torch import nn
        >>> from blemish.methods.borad.projection import frozen_copy, move_average
        >>> online = nn.Linear(1, 1)
        >>> average = frozen_copy(online)
        >>> _ = nn.init.ones_(online.weight), nn.init.zeros_(average.weight)
        >>> move_average(average, online, 0.75)
        >>> average.weight.item()
        0.25
    """
    for kept, new in zip(average.parameters(), online.parameters(), strict=True):
        kept.lerp_(new, 1 - momentum)


@contextmanager
def running_statistics_kept(*modules: nn.Module) -> Iterator[None]:
    """Batch normalisations inside use the batch but leave what they keep for prediction alone.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from blemish.methods.borad.projection import running_statistics_kept
        >>> norm = nn.BatchNorm2d(1)
        >>> with running_statistics_kept(norm):
        ...     _ = norm(torch.randn(4, 1, 2, 2) + 9)
        >>> norm.running_mean.item(), norm.momentum
        (0.0, 0.1)
    """
    norms = [m for module in modules for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
