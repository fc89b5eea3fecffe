"""From feature differences to one anomaly map at the input size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def cosine_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """``1 − cos`` between two feature levels, per position.

    Shapes: two ``(N, C, H, W)`` → ``(N, 1, H, W)`` in 0..2.

    Example:
        >>> import torch
        >>> from blemish.nn.anomaly_map import cosine_distance
        >>> f = torch.randn(2, 8, 4, 4)
        >>> bool(cosine_distance(f, 2 * f).abs().max() < 1e-5)
        True
    """
    return 1.0 - F.cosine_similarity(teacher, student, dim=1, eps=1e-6).unsqueeze(1)


class GaussianBlur(nn.Module):
    """Separable Gaussian filter with edge replication, truncated at four σ as in SciPy.

    Args:
        sigma: Standard deviation in pixels.

    Example:
        >>> import torch
        >>> from blemish.nn.anomaly_map import GaussianBlur
        >>> GaussianBlur(4.0)(torch.ones(1, 1, 32, 32)).mean().round().item()
        1.0
    """

    kernel: Tensor

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.radius = math.ceil(4 * sigma)
        x = torch.arange(-self.radius, self.radius + 1, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (x / sigma) ** 2)
        # Not persistent: it follows from the config, the model file need not carry it.
        self.register_buffer("kernel", (kernel / kernel.sum()).view(1, 1, 1, -1), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        r = self.radius
        maps = F.conv2d(F.pad(maps, (r, r, 0, 0), mode="replicate"), self.kernel)
        return F.conv2d(F.pad(maps, (0, 0, r, r), mode="replicate"), self.kernel.transpose(2, 3))


class LevelBalance(nn.Module):
    """Divide each level's error by its deviation over good images, so that no level drowns others.

    Args:
        levels: Number of levels.

    Example:
        >>> import torch
        >>> from blemish.nn.anomaly_map import LevelBalance
        >>> balance = LevelBalance(2)
        >>> balance.fit([[torch.tensor([[[[0.0, 0.4]]]]), torch.tensor([[[[0.3, 0.5]]]])]])
        >>> [round(e.mean().item(), 3) for e in balance([torch.ones(1, 1, 4, 4)] * 2)]
        [5.0, 10.0]
    """

    deviation: Tensor

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.register_buffer("deviation", torch.ones(levels))

    def fit(self, batches: Iterable[Sequence[Tensor]]) -> None:
        """Take the standard deviation of each level over all positions of good images.

        Args:
            batches: Error maps ``(N, 1, H_l, W_l)`` of each level.
        """
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
    """Resize per-level maps to ``size`` bilinearly and sum (or multiply) them.

    Shapes: maps ``(N, 1, H_l, W_l)`` → ``(N, 1, H, W)``.

    Example:
        >>> import torch
        >>> from blemish.nn.anomaly_map import fuse_levels
        >>> fuse_levels([torch.ones(1, 1, 8, 8), torch.ones(1, 1, 4, 4)], (16, 16)).max().item()
        2.0
    """
    resized = [
        F.interpolate(distance, size=size, mode="bilinear", align_corners=False)
        for distance in distances
    ]
    fused = resized[0]
    for other in resized[1:]:
        fused = fused * other if product else fused + other
    return fused
