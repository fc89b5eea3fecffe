"""Projections, running averages of them, prototype bank and alignments: the blocks of BoRAD.

Projections are those of Tien et al., "Revisiting Reverse Distillation for Anomaly Detection"
(RD++), CVPR 2023. Shapes of bank and alignments: S = H·W locations, K prototypes, C channels;
``mid`` is the bottleneck's output.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.nn.cosine import cosine_to
from blemish.nn.instance_norm import InstanceNorm2d
from blemish.nn.precision import single_at_least

#: Divisors of a projection's channels in RD++ and BoRAD.
STATED = (2, 4, 2)
_FEWEST = 8  # channels of a convolution that processors compute as fast as one


def conv_norm_act(inputs: int, outputs: int, *, kernel: int) -> nn.Sequential:
    """Convolution, instance normalisation, LeakyReLU; keeps the size."""
    return nn.Sequential(
        # Without bias: the normalisation would take it out again.
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        InstanceNorm2d(outputs),
        nn.LeakyReLU(),  # in place it would take from the normalisation what that goes back by
    )


class Projection(nn.Module):
    """A narrow detour of 3×3 convolutions that normal features survive; keeps the shape.

    After each convolution but the last the channels are divided by a divisor; never to fewer than
    eight, where the level has as many. RD++ and BoRAD state (2, 4, 2): C → C/2 → C/4 → C/2 → C.
    ``residual``: the detour is added to the level instead of replacing it, times a learned factor
    per channel that starts at zero, so that at first the level passes as it is.
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
        if self.scale is None:
            return projected
        return level + self.scale.to(projected) * projected


class LevelProjections(nn.Module):
    """One :class:`Projection` for each of the levels' ``channels``."""

    def __init__(
        self, channels: Sequence[int], *, divisors: Sequence[int] = STATED, residual: bool = False
    ) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            Projection(c, divisors=divisors, residual=residual) for c in channels
        )

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(p(f) for p, f in zip(self.projections, levels, strict=True))


def frozen_copy(module: nn.Module) -> nn.Module:
    """A copy that no optimiser trains, to be moved by :func:`move_average`."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def move_average(average: nn.Module, online: nn.Module, momentum: float) -> None:
    """``average ← momentum · average + (1 − momentum) · online``, parameter by parameter."""
    for kept, new in zip(average.parameters(), online.parameters(), strict=True):
        kept.lerp_(new, 1 - momentum)


@contextmanager
def running_statistics_kept(*modules: nn.Module) -> Iterator[None]:
    """Batch normalisations inside use the batch but leave what they keep for prediction alone."""
    norms = [m for module in modules for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum


class PrototypeBank(nn.Module):
    """Learned prototypes ``P (S, K, C)``, orthonormal at each location at the start; K ≤ C."""

    def __init__(self, size: tuple[int, int], *, prototypes: int, channels: int) -> None:
        super().__init__()
        columns, _ = torch.linalg.qr(torch.randn(size[0] * size[1], channels, prototypes))
        self.P = nn.Parameter(columns.transpose(1, 2).contiguous())  # (S, K, C)

    def shared(self) -> Tensor:
        """The global prototypes ``p̄_i = n(mean_j P_ji)``: ``(K, C)``."""
        return F.normalize(self.P.mean(0), dim=1)

    def read(self, mid: Tensor) -> Tensor:
        """Read-out ``r_j = Σ_i <n(mid_j), n(P_ji)> P_ji``: ``(N, C, H, W)`` → the same."""
        m = mid.flatten(2).transpose(1, 2)  # (N, S, C)
        a = torch.einsum("nsc,skc->nsk", F.normalize(m, dim=2), F.normalize(self.P, dim=2))
        r = torch.einsum("nsk,skc->nsc", a, self.P)  # (N, S, C)
        return r.transpose(1, 2).reshape(mid.shape)


class SpatialAlignment(nn.Module):
    """Spatial prototype alignment: at every location the online view predicts the target's merge.

    ``u = M([mid, r])``, ``z = q(u)``, ``t = M([mid', r'])`` without gradient;
    ``L_sp = 2 − 2 mean_j <n(z_j), n(t_j)>``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.merge = conv_norm_act(2 * channels, channels, kernel=1)  # M
        self.predict = nn.Sequential(  # q
            conv_norm_act(channels, channels, kernel=1), conv_norm_act(channels, channels, kernel=1)
        )

    def forward(self, mid: Tensor, target: Tensor, bank: PrototypeBank) -> Tensor:
        z = self.predict(self.merge(torch.cat([mid, bank.read(mid)], dim=1)))  # (N, C, H, W)
        with torch.no_grad():
            t = self.merge(torch.cat([target, bank.read(target)], dim=1))
        return 2 - 2 * cosine_to(t, z, dim=1, eps=1e-8).mean()


class GlobalAlignment(nn.Module):
    """Prototype-relative global alignment: the pooled views agree as seen from each prototype.

    ``d_i = g − p̄_i``, ``e_i = g' − p̄_i`` without gradient, ``y_i = h(d_i)``;
    ``L_gl = mean_i (2 − 2 <n(y_i), n(e_i)>)``. ``h`` is two linear layers, each with a
    normalisation over the channels and LeakyReLU; ``signed`` ends in the linear layer, which is
    free to be negative, as its target is, and gives the normalisation weights.
    """

    def __init__(self, channels: int, *, signed: bool = True) -> None:
        super().__init__()
        layers = [
            layer
            for _ in range(2)
            for layer in (
                nn.Linear(channels, channels),
                nn.LayerNorm(channels, elementwise_affine=signed),
                nn.LeakyReLU(inplace=True),
            )
        ]
        self.predict = nn.Sequential(*layers[: 4 if signed else 6])  # h

    def forward(self, mid: Tensor, target: Tensor, bank: PrototypeBank) -> Tensor:
        p = bank.shared()  # (K, C)
        y = self.predict(mid.mean((2, 3))[:, None] - p)  # (N, K, C)
        with torch.no_grad():
            e = target.mean((2, 3))[:, None] - p
        return 2 - 2 * cosine_to(e, y, dim=2, eps=1e-8).mean()


class PrototypeAlignment(nn.Module):
    """The bank and the heads of a non-zero weight: what training adds and prediction never sees.

    ``size`` and ``channels`` are those of the bottleneck's output.
    """

    def __init__(
        self,
        size: tuple[int, int],
        channels: int,
        *,
        prototypes: int,
        spatial_weight: float,
        global_weight: float,
        signed: bool = True,
    ) -> None:
        super().__init__()
        self.bank = PrototypeBank(size, prototypes=prototypes, channels=channels)
        self.weights = {"spatial": spatial_weight, "global": global_weight}
        self.heads = nn.ModuleDict()
        # At a single location nothing is spatial, and an instance norm leaves zeros.
        if spatial_weight and size != (1, 1):
            self.heads["spatial"] = SpatialAlignment(channels)
        if global_weight:
            self.heads["global"] = GlobalAlignment(channels, signed=signed)

    def forward(self, mid: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Weighted losses by name, for the online and the target view's bottleneck output."""
        return {
            name: self.weights[name] * head(*map(single_at_least, (mid, target)), self.bank)
            for name, head in self.heads.items()
        }
