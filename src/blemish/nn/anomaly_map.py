"""Anomaly map: feature levels at one scale, compared, and fused to one map at the input size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.nn.precision import single_at_least


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


def cosine_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """``1 − cos`` per position: two ``(N, C, H, W)`` → ``(N, 1, H, W)`` in 0..2.

    By three sums over channels and one division of single-channel maps: half the passes over the
    features that normalising both of them would take.
    """
    teacher, student = map(single_at_least, (teacher, student))  # sums over channels need digits
    inner = (teacher * student).sum(1, keepdim=True)
    # Bounded before the root, so that a vector without direction has a gradient.
    squares = [(f * f).sum(1, keepdim=True).clamp_min(1e-12) for f in (teacher, student)]
    return 1.0 - inner / (squares[0] * squares[1]).sqrt()


class GaussianBlur(nn.Module):
    """Separable Gaussian of ``sigma`` pixels, edges replicated, truncated at four σ as in SciPy."""

    kernel: Tensor

    def __init__(self, sigma: float) -> None:
        super().__init__()
        kernel = _gaussian(sigma, torch.float32)
        self.radius = len(kernel) // 2
        # Not persistent: it follows from the config, the model file need not carry it.
        self.register_buffer("kernel", kernel.view(1, 1, 1, -1), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        r = self.radius
        maps = F.conv2d(F.pad(maps, (r, r, 0, 0), mode="replicate"), self.kernel)
        return F.conv2d(F.pad(maps, (0, 0, r, r), mode="replicate"), self.kernel.transpose(2, 3))


class MapFusion(nn.Module):
    """Maps of several levels resized bilinearly and summed, the sum smoothed: matrix products.

    All three are linear and separable, so that the result is ``Σ_l A_l X_l B_lᵀ`` with constant
    matrices. They touch each level once, at its own small size; step by step, 33 taps twice at the
    input's size go through operators made for many channels. The result is the same to rounding.

    Args:
        levels: ``(H_l, W_l)`` of each map.
        size: ``(H, W)`` of the result.
        sigma: As of :class:`GaussianBlur`; 0 = the sum is left as it is.

    Shapes: maps ``(N, 1, H_l, W_l)`` → ``(N, 1, H, W)``.
    """

    columns: Tensor

    def __init__(
        self, levels: Sequence[tuple[int, int]], size: tuple[int, int], sigma: float = 0.0
    ) -> None:
        super().__init__()
        columns = []
        for number, level in enumerate(levels):
            rows, across = (
                _smoothing(new, sigma) @ _bilinear(old, new)
                for old, new in zip(level, size, strict=True)
            )
            self.register_buffer(f"rows{number}", rows.float(), persistent=False)  # (H, H_l)
            columns.append(across.T.float())
        self.register_buffer("columns", torch.cat(columns), persistent=False)  # (Σ W_l, W)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        parts = [getattr(self, f"rows{n}") @ one for n, one in enumerate(maps)]  # (N, 1, H, W_l)
        return torch.cat(parts, 3) @ self.columns


def _gaussian(sigma: float, dtype: torch.dtype) -> Tensor:
    """The kernel, truncated at four σ."""
    radius = math.ceil(4 * sigma)
    x = torch.arange(-radius, radius + 1, dtype=dtype)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    return kernel / kernel.sum()


def _smoothing(length: int, sigma: float) -> Tensor:
    """The matrix ``(length, length)`` of the filter along one axis, edges replicated."""
    if not sigma:
        return torch.eye(length, dtype=torch.float64)
    kernel = _gaussian(sigma, torch.float64)
    radius = len(kernel) // 2
    taken = (torch.arange(length)[:, None] + torch.arange(-radius, radius + 1)).clamp(0, length - 1)
    empty = torch.zeros(length, length, dtype=torch.float64)
    return empty.scatter_add_(1, taken, kernel.expand(length, -1))


def _bilinear(old: int, new: int) -> Tensor:
    """The matrix ``(new, old)`` of a bilinear resize along one axis, pixel centres at halves."""
    at = (torch.arange(new, dtype=torch.float64) + 0.5) * old / new - 0.5  # (new,)
    low = at.clamp(0, old - 1).floor()
    share = (at.clamp(0, old - 1) - low)[:, None]
    eye = torch.eye(old, dtype=torch.float64)
    return (1 - share) * eye[low.long()] + share * eye[(low.long() + 1).clamp_max(old - 1)]


class LevelBalance(nn.Module):
    """Divide each level's error by its deviation over good images, so that no level drowns others.

    Shapes: error maps ``(N, 1, H_l, W_l)``, one for each of ``levels`` → the same.
    """

    deviation: Tensor

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.register_buffer("deviation", torch.ones(levels))

    def fit(self, batches: Iterable[Sequence[Tensor]]) -> None:
        """Take the standard deviation of each level over all positions of good images."""
        sums = torch.zeros(2, len(self.deviation), dtype=torch.float64)
        count = 0
        for errors in batches:
            count += len(errors[0])
            for level, error in enumerate(errors):
                moments = torch.stack([error.double(), error.double().square()]).mean((2, 3, 4))
                sums[:, level] += moments.sum(1).cpu()
        mean, square = sums / count
        self.deviation.copy_((square - mean.square()).clamp_min(1e-12).sqrt())

    def forward(self, errors: Sequence[Tensor]) -> list[Tensor]:
        return [error / self.deviation[level] for level, error in enumerate(errors)]


def fuse_levels(
    distances: Sequence[Tensor], size: tuple[int, int], *, product: bool = False
) -> Tensor:
    """Resize maps ``(N, 1, H_l, W_l)`` to ``size`` bilinearly and sum (or multiply) them."""
    resized = [
        F.interpolate(distance, size=size, mode="bilinear", align_corners=False)
        for distance in distances
    ]
    fused = resized[0]
    for other in resized[1:]:
        fused = fused * other if product else fused + other
    return fused
