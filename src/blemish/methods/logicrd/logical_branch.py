"""Logical branch: how far what a picture holds, as a whole and in its parts, is from good pictures.

Stated: the Mahalanobis distance of features. Two descriptions are measured in the same way: the
codes of global semantics, and (ours) the teacher's joined levels. Each is averaged over the whole
picture, over its quarters and over theirs; each part has its Gaussian, by group of pictures, and a
scale from pictures that were left out of it; the part with the largest z-score counts. The branch's
score is the sum over both descriptions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from blemish.methods.logicrd.mahalanobis import (
    GroupedGaussians,
    GroupScale,
    PictureParts,
    RegionalDeparture,
)
from blemish.nn.picture_groups import PictureGroups


class LogicalOutput(NamedTuple):
    """What the logical branch found."""

    score: Tensor  # (N,) sum over descriptions of the largest z-score of a part's distance
    membership: Tensor  # (N, K) the picture's group, one 1 per row
    departure: Tensor  # (N, 1, h, w) places' shares in the oddest part's distance, smoothed


class RegionalDistance(nn.Module):
    """Mahalanobis distances of a map's parts, by the Gaussians of the picture's group.

    Shapes: map ``(N, C, h, w)`` and membership ``(N, K)`` → z-scores ``(N, P)`` and the departure
    ``(N, 1, h, w)``.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, finest: int, own: bool) -> None:
        super().__init__()
        self.parts = PictureParts(size, finest=finest)
        self.gaussians = GroupedGaussians(self.parts.count, channels, own=own)
        self.scale = GroupScale(self.parts.count)
        self.departure = RegionalDeparture(channels, size)

    def forward(self, described: Tensor, membership: Tensor) -> tuple[Tensor, Tensor]:
        whitened = self.gaussians.whitened(self.parts(described), membership)  # (N, P, C)
        z = self.scale(whitened.square().sum(2).sqrt(), membership)  # (N, P)
        worst = z.argmax(1)  # (N,), the oddest part explains
        weights = self.gaussians.pull(whitened, worst, membership)  # (N, C)
        places = self.parts.pool.T.index_select(0, worst)  # (N, h·w)
        return z, self.departure(described, weights, places, membership)


class LogicalBranch(nn.Module):
    """Regional distances of several descriptions of a picture, summed.

    Args:
        channels: Channels of the joined levels, by which pictures are grouped.
        described: Channels and size ``(h, w)`` of each description, by name; the last explains.
        finest: Parts across, of the smallest ones.
        own: Whether each group has its own covariances.

    Shapes: maps by name, the joined levels "features" ``(N, ΣC, H_L, W_L)`` always among them → a
    :class:`LogicalOutput`.
    """

    def __init__(
        self,
        channels: int,
        described: Mapping[str, tuple[int, tuple[int, int]]],
        *,
        finest: int,
        own: bool,
    ) -> None:
        super().__init__()
        self.groups = PictureGroups(channels)
        self.of = nn.ModuleDict(
            {
                name: RegionalDistance(width, size, finest=finest, own=own)
                for name, (width, size) in described.items()
            }
        )

    @property
    def distances(self) -> dict[str, RegionalDistance]:
        """The distance of each description."""
        return {name: cast(RegionalDistance, own) for name, own in self.of.items()}

    def membership(self, joined: Tensor) -> Tensor:
        """Each picture's group ``(N, K)``, one 1 per row."""
        member: Tensor = self.groups(joined.mean((2, 3)))
        return member

    def forward(self, maps: Mapping[str, Tensor]) -> LogicalOutput:
        member = self.membership(maps["features"])
        found = [distance(maps[name], member) for name, distance in self.distances.items()]
        return LogicalOutput(self.score(z for z, _ in found), member, found[-1][1])

    @staticmethod
    def score(z: Iterable[Tensor]) -> Tensor:
        """The branch's score ``(N,)`` of the parts' z-scores ``(N, P)`` by each description."""
        return torch.stack([own.amax(1) for own in z]).sum(0)


class GoodPictures:
    """What a branch's statistics are fitted on, gathered batch by batch.

    Of the maps only their parts' means and a sum are kept, whatever the number of pictures.
    """

    def __init__(self, branch: LogicalBranch) -> None:
        self.branch = branch
        self.members: list[Tensor] = []
        self.parts: dict[str, list[Tensor]] = {name: [] for name in branch.of}
        self.sums: dict[str, Tensor | float] = dict.fromkeys(branch.of, 0.0)

    def add(self, maps: Mapping[str, Tensor]) -> None:
        """Take the maps of a batch."""
        member = self.branch.membership(maps["features"])
        self.members.append(member)
        for name, distance in self.branch.distances.items():
            self.parts[name].append(distance.parts(maps[name]))
            new = member.double().T @ maps[name].flatten(1).double()  # (K, C·h·w)
            self.sums[name] = self.sums[name] + new

    def fit(self) -> None:
        """Give the branch its Gaussians, the parts' z-scores, and what is usual at each place.

        A part's scale is that of distances by the other pictures' Gaussians, of all that there are:
        the largest of 21 z-scores is decided by the worst estimate of a deviation among them.
        """
        member = torch.cat(self.members)  # (M, K)
        count = member.double().sum(0).clamp_min(1)[:, None]
        for name, distance in self.branch.distances.items():
            parts = torch.cat(self.parts[name])
            distance.scale.fit(distance.gaussians.left_out(parts, member).sqrt(), member)
            distance.gaussians.fit(parts, member)
            usual = distance.departure.usual
            mean = torch.as_tensor(self.sums[name]) / count
            distance.departure.usual = mean.float().view(-1, *usual.shape[1:])

    def scores(self) -> tuple[Tensor, Tensor]:
        """The membership ``(M, K)`` and the fitted branch's scores ``(M,)``."""
        member = torch.cat(self.members)
        z = [
            distance.scale(distance.gaussians(torch.cat(self.parts[name]), member).sqrt(), member)
            for name, distance in self.branch.distances.items()
        ]
        return member, self.branch.score(z)
