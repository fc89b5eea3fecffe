"""Usual distances: what good pictures leave of each measure, by product, to standardise it with.

Everything here is in closed form and honest about the pictures it comes from: a picture is never
measured by what itself has left (leave-one-out for the memory, folds for the Gaussians).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.methods.trio.usual import Moments, by_place, by_row
from blemish.nn.anomaly_map import MapFusion
from blemish.nn.picture_groups import GroupBuffers

#: Smoothing of what is usual at a place, in positions of the grid.
_SMOOTH = 1.5
#: Deviation of good pictures' scores below which it is rounding.
_LEAST = 0.1


class Apart(NamedTuple):
    """How far patches ``(n, P)`` are from a memory, in deviations of good patches."""

    odd: Tensor  # of those that the nearest row has, or the place: what decides
    plain: Tensor  # of all of them: what the map shows


class UsualDistance(GroupBuffers):
    """Distances to a memory, standardised by what is usual for the row and for the place.

    Beside a row in a crowd of like patches a small distance is odd, beside one of a worn, speckled
    surface a large one is not; and so with places. A patch is as odd as the kinder of the two says.

    Shapes: distances ``(N, P)``, what is usual for the rows nearest ``(N, P, 2)``, groups ``(N,)``
    → ``(N, P)``; of some patches of a picture, with their places ``(N, K)``, ``(N, K)``.
    """

    row_mean: Tensor
    row_scale: Tensor  # (G, M)
    row_sums: Tensor  # (G, 3, M), of the distances they come from, so that more can be added
    place_mean: Tensor
    place_scale: Tensor  # (G, P)
    place_sums: Tensor  # (G, 3, P)
    mean: Tensor
    scale: Tensor  # (G, 1), of the result

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        for name, value in (("mean", 0.0), ("scale", 1.0)):
            self.register_buffer(f"row_{name}", torch.full((1, 1), value))
            self.register_buffer(f"place_{name}", torch.full((1, size[0] * size[1]), value))
            self.register_buffer(name, torch.full((1, 1), value))
        self.register_buffer("row_sums", torch.zeros(1, 3, 1))
        self.register_buffer("place_sums", torch.zeros(1, 3, size[0] * size[1]))

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # The number of rows follows from fitting too.
        rows = state_dict.get(f"{prefix}row_mean")
        if rows is not None and rows.dim() == 2:
            groups, most = rows.shape
            self.row_mean, self.row_scale = self.row_mean.new_zeros(2, 1, most)
            self.row_sums = rows.new_zeros(1, 3, most)
            # Earlier files hold no sums.
            empty = rows.new_zeros(groups, 3, most), rows.new_zeros(groups, 3, math.prod(self.size))
            for name, sums in zip(("row_sums", "place_sums"), empty, strict=True):
                state_dict.setdefault(f"{prefix}{name}", sums)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def fit(self, groups: list[tuple[Tensor, Tensor, int]], parts: list[Tensor]) -> list[Tensor]:
        """Take what is usual from good pictures, measured without their own rows.

        ``groups`` has, for every group, distances ``(n, P)``, nearest rows ``(n, P)`` and the
        number of rows; ``parts`` which part each picture shows. Returns the pictures' own results
        ``(n, P)``, each by what the other parts leave.
        """
        most = max(count for _, _, count in groups)
        rows, places, results = [], [], []
        for (distances, place, count), part in zip(groups, parts, strict=True):
            row, apart_row = by_row(distances, place, count, part)
            own, apart_place = by_place(distances, part, self.smooth)
            rows.append([F.pad(v, (0, most - count), value=1.0) for v in row[:2]])
            rows[-1].append(F.pad(row.sums, (0, most - count)))
            places.append(own)
            results.append(torch.minimum(apart_row, apart_place))
        self.row_mean, self.row_scale, self.row_sums = map(torch.stack, zip(*rows, strict=True))
        found = map(torch.stack, zip(*places, strict=True))
        self.place_mean, self.place_scale, self.place_sums = found
        self.mean = torch.stack([z.mean() for z in results])[:, None]
        self.scale = torch.stack([z.std().clamp_min(1e-6) for z in results])[:, None]
        ends = zip(results, self.mean, self.scale, strict=True)
        return [(z - mean) / scale for z, mean, scale in ends]

    def smooth(self, values: Tensor) -> Tensor:
        """Values ``(n, P)`` of places, each a mean over those around it."""
        smooth_map = MapFusion([self.size], self.size, _SMOOTH).to(values.device).double()
        return smooth_map([values.view(-1, 1, *self.size)]).flatten(1)

    def of_rows(self) -> Tensor:
        """Usual distance and deviation of every row ``(G, M, 2)``."""
        return torch.stack([self.row_mean, self.row_scale], 2)

    def plain(self, distances: Tensor, group: Tensor) -> Tensor:
        """Distances in deviations of all good patches, wherever they lie."""
        mean = self.place_mean.mean(1, keepdim=True)  # (G, 1)
        around = self.place_scale.square() + (self.place_mean - mean).square()
        scale = around.mean(1, keepdim=True).sqrt()
        return (distances - mean.index_select(0, group)) / scale.index_select(0, group)

    def forward(
        self, distances: Tensor, usual: Tensor, group: Tensor, places: Tensor | None = None
    ) -> Tensor:
        by_row = (distances - usual[..., 0]) / usual[..., 1]
        of_place = [v.index_select(0, group) for v in (self.place_mean, self.place_scale)]
        if places is not None:
            of_place = [values.gather(1, places) for values in of_place]
        mean, scale = of_place
        z = torch.minimum(by_row, (distances - mean) / scale)
        return (z - self.mean.index_select(0, group)) / self.scale.index_select(0, group)


class ProductScale(GroupBuffers):
    """Channels standardised as the product's own vary, so that each has its say.

    What is loud on one product is silent on another; one scale for all of them cost up to eight
    points of image AUROC on the development sets.

    Shapes: features ``(N, D, h, w)``, groups ``(N,)`` → ``(N, D, h, w)``.
    """

    mean: Tensor
    scale: Tensor  # (G, D, 1, 1)

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, dimensions, 1, 1))
        self.register_buffer("scale", torch.ones(1, dimensions, 1, 1))

    def fit(self, groups: list[Moments], widths: list[int]) -> None:
        """Take moments ``(D,)`` of every group, for the levels of ``widths`` channels."""
        self.mean = torch.stack([g.mean for g in groups])[..., None, None]
        self.scale = torch.stack([g.scale for g in groups])[..., None, None]
        for level in self.scale.split(widths, 1):
            # A channel that never moves on good images would turn noise into an alarm.
            floor = 0.05 * level.flatten(1).median(1).values.view(-1, 1, 1, 1)
            level.copy_(torch.maximum(level, floor).clamp_min(1e-6))

    def forward(self, features: Tensor, group: Tensor) -> Tensor:
        mean, scale = (t.index_select(0, group) for t in (self.mean, self.scale))
        return (features - mean) / scale


class UsualScore(GroupBuffers):
    """Scores of a picture in deviations of good pictures from their median.

    Shapes: scores ``(N, S)``, groups ``(N,)`` → ``(N, S)``.
    """

    middle: Tensor
    scale: Tensor  # (G, S)

    def __init__(self, scores: int) -> None:
        super().__init__()
        self.register_buffer("middle", torch.zeros(1, scores))
        self.register_buffer("scale", torch.ones(1, scores))

    def fit(self, groups: list[Tensor], parts: list[Tensor]) -> list[Tensor]:
        """Take median and deviation from the scores ``(n, S)`` of good pictures of every group.

        Returns the pictures' own results ``(n, S)``, each in those of other parts.
        """
        found = [_by_others(scores, part) for scores, part in zip(groups, parts, strict=True)]
        self.middle = torch.stack([usual.mean for usual, _ in found])
        self.scale = torch.stack([usual.scale for usual, _ in found])
        return [apart for _, apart in found]

    def forward(self, scores: Tensor, group: Tensor) -> Tensor:
        return (scores - self.middle.index_select(0, group)) / self.scale.index_select(0, group)


def _by_others(scores: Tensor, part: Tensor) -> tuple[Moments, Tensor]:
    """Median and deviation ``(S,)`` of scores ``(n, S)``; each in those of the other parts."""
    if len(part.unique()) == 1:
        own = _middle(scores)
        return own, (scores - own.mean) / own.scale
    others = [_middle(scores[part != own]) for own in part]
    apart = [(one - o.mean) / o.scale for one, o in zip(scores, others, strict=True)]
    return _middle(scores), torch.stack(apart)


def _middle(scores: Tensor) -> Moments:
    return Moments(scores.median(0).values, scores.std(0, correction=0).clamp_min(_LEAST))
