"""A picture described in parts, and which place makes a part depart from those of good pictures."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from blemish.methods.logicrd.mahalanobis import GroupBuffers
from blemish.nn.anomaly_map import GaussianBlur


class PictureParts(nn.Module):
    """The mean feature of the whole picture, of its quarters, of their quarters …

    A missing washer changes the mean of the whole picture a little and that of its compartment
    much; which size of part shows it best depends on the product, so that all are looked at.

    Args:
        size: ``(H, W)`` of the features.
        finest: The picture is divided into 1, 4, … ``finest``² parts: a power of two. Where the
            features have fewer rows or columns, there are as many parts as those.

    Shapes: features ``(N, C, H, W)`` → descriptions ``(N, P, C)``.

    Example:
        >>> import torch
        >>> from blemish.methods.logicrd.departure import PictureParts
        >>> parts = PictureParts((8, 12), finest=4)
        >>> parts.count, tuple(parts(torch.ones(2, 3, 8, 12)).shape)
        (21, (2, 21, 3))
    """

    pool: Tensor

    def __init__(self, size: tuple[int, int], *, finest: int) -> None:
        super().__init__()
        rows: list[Tensor] = []
        divisions = 1
        while divisions <= finest:
            vertical = _intervals(size[0], divisions)
            horizontal = _intervals(size[1], divisions)
            rows += [(y[:, None] * x[None, :]).flatten() for y in vertical for x in horizontal]
            divisions *= 2
        # A plain product, which every exporter knows; it follows from the sizes.
        pool = torch.stack(rows).T  # (H·W, P)
        self.register_buffer("pool", pool / pool.sum(0), persistent=False)

    @property
    def count(self) -> int:
        """P, the number of parts of all sizes."""
        return int(self.pool.shape[1])

    def forward(self, features: Tensor) -> Tensor:
        return (features.flatten(2) @ self.pool).transpose(1, 2)  # (N, P, C)


def _intervals(length: int, divisions: int) -> list[Tensor]:
    """Membership ``(length,)`` of each of at most ``divisions`` nearly equal intervals."""
    divisions = min(divisions, length)
    edges = [round(k * length / divisions) for k in range(divisions + 1)]
    place = torch.arange(length)
    return [((place >= start) & (place < end)).float() for start, end in pairwise(edges)]


class RegionalDeparture(GroupBuffers):
    """The share of each place in a part's Mahalanobis distance, in closed form.

    A description that averages features over the places of a part has the squared distance
    ``(v − μ)ᵀ Σ⁻¹ (v − μ) = Σ_p wᵀ(f_p − m_p) / P`` with ``w = Σ⁻¹(v − μ)``, ``m_p`` the mean
    feature of good pictures at place p, and P the places of the part: the terms are each place's
    exact share. Smoothed over neighbours, the largest is where the content departs most, in the
    direction in which the part as a whole departs, from what is usual at that place. A missing
    piece counts as much as an extra one.

    Args:
        channels: Channels of the features.
        size: ``(H, W)`` of the features.
        sigma: Of the smoothing, in places.

    Shapes: features ``(N, C, H, W)``, weights w ``(N, C)``, the part's places ``(N, H·W)`` as 1/P
    or 0, and membership ``(N, K)`` → ``(N, 1, H, W)``.

    Example:
        >>> import torch
        >>> from blemish.methods.logicrd.departure import RegionalDeparture
        >>> departure = RegionalDeparture(1, (16, 16))
        >>> features = torch.zeros(1, 1, 16, 16)
        >>> features[..., 4, 12] = 1.0
        >>> everywhere = torch.full((1, 256), 1 / 256)
        >>> found = departure(features, torch.ones(1, 1), everywhere, torch.ones(1, 1))
        >>> divmod(found.argmax().item(), 16)
        (4, 12)
    """

    usual: Tensor

    def __init__(self, channels: int, size: tuple[int, int], *, sigma: float = 1.5) -> None:
        super().__init__()
        self.register_buffer("usual", torch.zeros(1, channels, *size))
        self.smooth = GaussianBlur(sigma)

    def shares(
        self, features: Tensor, weights: Tensor, places: Tensor, membership: Tensor
    ) -> Tensor:
        """Each place's share ``(N, 1, H, W)`` before the smoothing; they sum to the distance."""
        _, channels, height, width = self.usual.shape
        usual = (membership @ self.usual.flatten(1)).view(-1, channels, height, width)
        pulled = (weights[:, :, None, None] * (features - usual)).sum(1, keepdim=True)
        return pulled * places.view(-1, 1, height, width)

    def forward(
        self, features: Tensor, weights: Tensor, places: Tensor, membership: Tensor
    ) -> Tensor:
        smoothed: Tensor = self.smooth(self.shares(features, weights, places, membership))
        return smoothed
