"""Which region makes a picture's description depart from those of good pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from blemish.nn.anomaly_map import GaussianBlur
from blemish.nn.mahalanobis import GroupBuffers


class RegionalDeparture(GroupBuffers):
    """The share of each place in a Mahalanobis distance, in closed form.

    A description that averages features over (parts of) the picture has the squared distance
    ``(v − μ)ᵀ Σ⁻¹ (v − μ) = Σ_p wᵀ(f_p − m_p) / P`` with ``w = Σ⁻¹(v − μ)``, ``m_p`` the mean
    feature of good pictures at place p, and P the places averaged over: the terms are each place's
    exact share. Smoothed over neighbours, the largest is where the content departs most, in the
    direction in which the whole picture departs, from what is usual at that place. A missing part
    counts as much as an extra one.

    Args:
        channels: Channels of the features.
        size: ``(H, W)`` of the features.
        sigma: Of the smoothing, in places.

    Shapes: features ``(N, C, H, W)``, weights ``(N, C, R, R)`` for R × R parts of the picture and
    membership ``(N, K)`` → ``(N, 1, H, W)``.

    Example:
        >>> import torch
        >>> from blemish.nn.departure import RegionalDeparture
        >>> departure = RegionalDeparture(1, (16, 16))
        >>> features = torch.zeros(1, 1, 16, 16)
        >>> features[..., 4, 12] = 1.0
        >>> found = departure(features, torch.ones(1, 1, 1, 1), torch.ones(1, 1))
        >>> divmod(found.argmax().item(), 16)
        (4, 12)
    """

    usual: Tensor

    def __init__(self, channels: int, size: tuple[int, int], *, sigma: float = 1.5) -> None:
        super().__init__()
        self.register_buffer("usual", torch.zeros(1, channels, *size))
        self.smooth = GaussianBlur(sigma)

    def shares(self, features: Tensor, weights: Tensor, membership: Tensor) -> Tensor:
        """Each place's share ``(N, 1, H, W)`` before the smoothing; they sum to the distance."""
        usual = (membership @ self.usual.flatten(1)).view_as(features)
        down = features.shape[2] // weights.shape[2]
        across = features.shape[3] // weights.shape[3]
        spread = weights.repeat_interleave(down, 2).repeat_interleave(across, 3)
        return (spread * (features - usual)).sum(1, keepdim=True) / (down * across)

    def forward(self, features: Tensor, weights: Tensor, membership: Tensor) -> Tensor:
        smoothed: Tensor = self.smooth(self.shares(features, weights, membership))
        return smoothed
