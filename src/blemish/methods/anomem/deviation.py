"""From deviation maps to distances: a head per scale and the hypersphere classifier's loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DeviationHead(nn.Module):
    """Distance from the centre for every position of a deviation map.

    ``d = √(1 + ‖e‖²) − 1`` (pseudo-Huber) of a small convolution's output e: 0 at the centre,
    growing linearly far from it (Ruff et al., "Rethinking Assumptions in Deep Anomaly Detection",
    2020; Liznerski et al., "Explainable Deep One-Class Classification", ICLR 2021).

    Args:
        channels: Channels of the deviation.
        hidden: Channels inside.
        outputs: Dimension of e.

    Shapes: ``(N, C, H, W)`` → ``(N, 1, H, W)``, at least 0.

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.deviation import DeviationHead
        >>> bool((DeviationHead(8)(torch.randn(2, 8, 4, 4)) >= 0).all())
        True
    """

    def __init__(self, channels: int, *, hidden: int = 32, outputs: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(hidden, outputs, 1),
        )

    def forward(self, deviation: Tensor) -> Tensor:
        # Deviations of unit vectors are a fraction of 1 per channel; at this scale they are O(1).
        e = self.body(deviation * deviation.shape[1] ** 0.5)
        return (1.0 + e.square().sum(1, keepdim=True)).sqrt() - 1.0


def push_out(distances: Tensor) -> Tensor:
    """``−log(1 − exp(−d))``: large where an anomaly lies near the centre.

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.deviation import push_out
        >>> [round(v, 3) for v in push_out(torch.tensor([0.01, 1.0, 5.0])).tolist()]
        [4.61, 0.459, 0.007]
    """
    # Beyond 20 nothing is left to gain but gradients of 1e-9 and less, slow on a CPU.
    return -torch.log(-torch.expm1(-distances.clamp(1e-4, 20.0)))


def top_mean(maps: Tensor, share: float) -> Tensor:
    """Mean of the highest ``share`` of each map's positions: ``(N, 1, H, W)`` → ``(N,)``.

    At least one position counts; a share of 1 is the plain mean.

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.deviation import top_mean
        >>> top_mean(torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]]), 0.5).item()
        3.5
    """
    flat = maps.flatten(1)  # (N, H·W)
    count = max(1, round(share * flat.shape[1]))
    return flat.mean(1) if count == flat.shape[1] else flat.topk(count, 1).values.mean(1)
