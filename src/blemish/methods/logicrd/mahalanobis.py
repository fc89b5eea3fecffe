"""Mahalanobis distance of a picture's parts from those of good pictures, in closed form.

One model serves several products, and a single Gaussian over several products describes none of
them: it calls everything between two products normal. So the good pictures are grouped without
labels, each group gets a Gaussian of its own, and a new picture is measured by its group's.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from blemish.nn.anomaly_map import MapFusion
from blemish.nn.picture_groups import FEWEST, GroupBuffers


class GroupedGaussians(GroupBuffers):
    """Mahalanobis distances of several parts of a picture to the Gaussians of every group.

    Each covariance is estimated with Ledoit and Wolf's shrinkage ("A well-conditioned estimator
    for large-dimensional covariance matrices", J. Multivariate Analysis 2004), which stays well
    conditioned with fewer pictures than dimensions, after every dimension was divided by its
    deviation: the shrinkage pulls all variances towards one value, and channels differ widely.
    What is kept is ``L⁻ᵀ``, where ``Σ = L Lᵀ``, so that a distance is one product and one norm.
    The matrices are far larger than the pictures' descriptions, and reading them is what takes
    the time: a picture is measured by those of its own group alone.
    With ``own``, each group has its own covariances; otherwise all share those of the residuals.

    Shapes: descriptions ``(N, P, D)`` and membership ``(N, K)``, one 1 per row → squared distances
    ``(N, P)``.
    """

    centre: Tensor
    factor: Tensor

    def __init__(self, parts: int, dimensions: int, *, own: bool = True) -> None:
        super().__init__()
        self.own = own
        self.register_buffer("centre", torch.zeros(1, parts, dimensions))
        self.register_buffer("factor", torch.eye(dimensions).repeat(1, parts, 1, 1))

    def fit(self, descriptions: Tensor, membership: Tensor) -> None:
        """Take the Gaussians from good pictures; a group without members gets the mean of all."""
        values = descriptions.double().cpu().numpy()
        labels = membership.argmax(1).cpu().numpy()
        count = membership.shape[1]
        members = [values[labels == g] for g in range(count)]
        centre = np.stack([(own if len(own) else values).mean(0) for own in members])  # (K, P, D)
        residual = values - centre[labels]  # (N, P, D)
        shared = [residual]
        if self.own:
            # A covariance from a handful would be mostly shrinkage; the shared one knows more.
            enough = [len(own) >= FEWEST for own in members]
            shared = [residual[labels == g] if enough[g] else residual for g in range(count)]
        factor = [[_whitening(of[:, part]) for part in range(of.shape[1])] for of in shared]
        self.centre = torch.from_numpy(centre).float().to(self.centre.device)
        whiten = torch.from_numpy(np.array(factor)).float()  # (K or 1, P, D, D)
        self.factor = whiten.to(self.factor.device)

    def forward(self, descriptions: Tensor, membership: Tensor) -> Tensor:
        return self.whitened(descriptions, membership).square().sum(2)

    def left_out(self, descriptions: Tensor, membership: Tensor) -> Tensor:
        """Squared distances ``(N, P)`` of good pictures by Gaussians that the others gave.

        A fifth of each group at a time, in their order: neighbours, which often look alike, are
        left out together. Of a handful none is, as nothing would be left.
        """
        member = membership.double()
        rank = (member.cumsum(0) * member).sum(1) - 1  # within its group
        fold = (5 * rank / (member @ member.sum(0))).floor()
        found = descriptions.new_zeros(descriptions.shape[:2])
        for number in fold.unique():
            out = fold == number
            kept = ~out if len(out) >= FEWEST else torch.ones_like(out)
            others = GroupedGaussians(*descriptions.shape[1:], own=self.own)
            others.to(descriptions.device).fit(descriptions[kept], membership[kept])
            found[out] = others(descriptions[out], membership[out])
        return found

    def whitened(self, descriptions: Tensor, membership: Tensor) -> Tensor:
        """``L⁻¹ (v − μ)`` of every part by the picture's own group: ``(N, P, D)``."""
        group = membership.argmax(1)
        apart = descriptions - self.centre.index_select(0, group)
        if len(self.factor) == 1:
            return (apart.transpose(0, 1) @ self.factor[0]).transpose(0, 1)
        if torch.compiler.is_exporting():
            # A graph has no loop over groups. Runtimes judge few pictures at a time, and copy
            # rows faster by index_select than by indexing.
            own = self.factor.index_select(0, group)  # (N, P, D, D)
            return (apart[:, :, None] @ own).squeeze(2)
        whitened = torch.zeros_like(apart)
        for number, factor in enumerate(self.factor):  # without a copy of them for every picture
            rows = group == number
            own = (apart[rows].transpose(0, 1) @ factor).transpose(0, 1)
            whitened[rows] = own.to(apart.dtype)  # mixed precision multiplies in another one
        return whitened

    def pull(self, whitened: Tensor, part: Tensor, membership: Tensor) -> Tensor:
        """``Σ⁻¹ (v − μ)`` ``(N, D)`` of a part ``(N,)`` of each picture, half its gradient."""
        matrix = part  # one covariance for all groups
        if len(self.factor) > 1:
            matrix = membership.argmax(1) * whitened.shape[1] + part
        factor = self.factor.flatten(0, 1).index_select(0, matrix)  # (N, D, D)
        # Not take_along_dim, which fixes the number of pictures in an exported graph.
        own = whitened.gather(1, part[:, None, None].expand(-1, 1, whitened.shape[2]))  # (N, 1, D)
        return (own @ factor.transpose(1, 2)).squeeze(1)


class GroupScale(GroupBuffers):
    """Scores of several branches to z-scores, by their mean and deviation over good pictures.

    Per group where a group has enough pictures, and over all otherwise.

    Shapes: scores ``(N, B)`` and membership ``(N, K)``, one 1 per row → ``(N, B)``.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, branches: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, branches))
        self.register_buffer("deviation", torch.ones(1, branches))

    def fit(self, scores: Tensor, membership: Tensor) -> None:
        """Take the statistics of good pictures: scores ``(N, B)``, membership ``(N, K)``."""
        values, member = scores.double().cpu(), membership.cpu() > 0
        means, deviations = [], []
        for group in range(member.shape[1]):
            chosen = values[member[:, group]]
            if len(chosen) < FEWEST:
                chosen = values
            means.append(chosen.mean(0))
            spread = chosen.std(0, unbiased=False)
            # Scores that do not vary say nothing of how large a difference is large.
            deviations.append(torch.where(spread > 1e-9, spread, torch.ones_like(spread)))
        self.mean = torch.stack(means).float().to(self.mean.device)
        self.deviation = torch.stack(deviations).float().to(self.mean.device)

    def forward(self, scores: Tensor, membership: Tensor) -> Tensor:
        return (scores - membership @ self.mean) / (membership @ self.deviation)


class PictureParts(nn.Module):
    """The mean feature of the whole picture, of its quarters, of their quarters …

    A missing washer changes the mean of the whole picture a little and that of its compartment
    much; which size of part shows it best depends on the product, so that all are looked at.
    The picture is divided into 1, 4, … ``finest``² parts, of no less than a row and a column.

    Shapes: features ``(N, C, H, W)`` → descriptions ``(N, P, C)``.
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

    Shapes: features ``(N, C, H, W)``, weights w ``(N, C)``, the part's places ``(N, H·W)`` as 1/P
    or 0, and membership ``(N, K)`` → ``(N, 1, H, W)``.
    """

    usual: Tensor

    def __init__(self, channels: int, size: tuple[int, int], *, sigma: float = 1.5) -> None:
        super().__init__()
        self.register_buffer("usual", torch.zeros(1, channels, *size))
        self.smooth = MapFusion([size], size, sigma)

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
        smoothed: Tensor = self.smooth([self.shares(features, weights, places, membership)])
        return smoothed


def _whitening(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    """``L⁻ᵀ`` of the covariance of centred residuals ``(N, D)``, shrunk at equal deviations."""
    from sklearn.covariance import ledoit_wolf

    deviation = np.sqrt(np.square(residual).mean(0))  # (D,)
    # Where nothing varies, distances stay finite.
    deviation = np.maximum(deviation, max(1e-3 * float(deviation.max()), 1e-6))
    covariance, _ = ledoit_wolf(residual / deviation, assume_centered=True)
    covariance.flat[:: len(covariance) + 1] += 1e-6
    return (np.linalg.inv(np.linalg.cholesky(covariance)) / deviation).T
