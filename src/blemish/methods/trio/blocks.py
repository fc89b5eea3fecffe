"""Usual distances: what good pictures leave of each measure, by product, to standardise it with.

Everything here is in closed form and honest about the pictures it comes from: a picture is never
measured by what itself has left (leave-one-out for the memory, folds for the Gaussians).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.methods.trio.usual import Moments, by_place, by_row
from blemish.nn.anomaly_map import MapFusion
from blemish.nn.memory_bank import MemoryBank
from blemish.nn.picture_groups import GroupBuffers

#: Smoothing of what is usual at a place, in positions of the grid.
_SMOOTH = 1.5
#: Groups of parts, each of which is measured by means and covariances of the others.
FOLDS = 5
#: Deviation of good pictures' scores below which it is rounding.
_LEAST = 0.1
#: Most observations that a covariance is taken from.
OBSERVED = 16000
#: Pictures, or places, whose features are in full precision at a time.
_TOGETHER = 64
#: Of the mean variance, added to all.
JITTER = 1e-6


class UsualDistance(GroupBuffers):
    """Distances to a memory, standardised by what is usual for the row and for the place.

    Beside a row in a crowd of like patches a small distance is odd, beside one of a worn, speckled
    surface a large one is not; and so with places. A patch is as odd as the kinder of the two says.

    Shapes: distances ``(N, P)``, what is usual for the rows nearest ``(N, P, 2)``, groups ``(N,)``
    → ``(N, P)``.
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

    def forward(self, distances: Tensor, usual: Tensor, group: Tensor) -> Tensor:
        by_row = (distances - usual[..., 0]) / usual[..., 1]
        by_place = (distances - self.place_mean.index_select(0, group)) / (
            self.place_scale.index_select(0, group)
        )
        z = torch.minimum(by_row, by_place)
        return (z - self.mean.index_select(0, group)) / self.scale.index_select(0, group)


class PlaceGaussian(GroupBuffers):
    """Mahalanobis distance of every place's features from what they are there on good pictures.

    As in PaDiM (Defard et al., ICPR 2021), with a mean of its own for every place; but one
    covariance for all places of a product, of what differs from picture to picture: some hundred
    times as many observations, so that a dozen pictures will do.

    Shapes: features ``(N, D, J)``, groups ``(N,)`` → standardised distances ``(N, J)``.
    """

    mean: Tensor  # (G, D, J)
    whiten: Tensor  # (G, D, D)
    usual: Tensor
    scale: Tensor  # (G, J)
    sums: Tensor  # (G, 3, J), of the distances that both come from
    shrinkage: Tensor  # (G,), Ledoit and Wolf's, by which the covariance can be told from whiten

    def __init__(self, dimensions: int, places: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, dimensions, places))
        self.register_buffer("whiten", torch.eye(dimensions)[None])
        self.register_buffer("usual", torch.zeros(1, places))
        self.register_buffer("scale", torch.ones(1, places))
        self.register_buffer("sums", torch.zeros(1, 3, places))
        self.register_buffer("shrinkage", torch.zeros(1))

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        usual = state_dict.get(f"{prefix}usual")
        if usual is not None:  # earlier files hold no sums
            state_dict.setdefault(f"{prefix}sums", usual.new_zeros(len(usual), 3, *usual.shape[1:]))
            state_dict.setdefault(f"{prefix}shrinkage", usual.new_zeros(len(usual)))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def fit(self, groups: Iterable[Tensor], parts: list[Tensor]) -> list[Tensor]:
        """Take means and covariances from good pictures ``(n, D, J)`` of every group.

        They may be in half precision: of many, few are in memory in full at a time. Returns the
        pictures' own results ``(n, J)``, each measured by other parts.
        """
        fitted, results = [], []
        for features, part in zip(groups, parts, strict=True):
            usual, apart = by_place(_cross_fitted(features, part), part)
            everything = torch.arange(len(features), device=features.device)
            mean = _sum(features, everything) / len(everything)
            drawn = _drawn_residuals(features, everything, mean, len(part.unique()) < FOLDS)
            covariance, shrinkage = _covariance(drawn)
            whiten = whitened(covariance).to(features.device)
            fitted.append((mean, whiten, *usual, mean.new_tensor(shrinkage)))
            results.append(apart)
        found = map(torch.stack, zip(*fitted, strict=True))
        self.mean, self.whiten, self.usual, self.scale, self.sums, self.shrinkage = found
        return results

    def forward(self, features: Tensor, group: Tensor) -> Tensor:
        apart = features - self.mean.index_select(0, group)  # (N, D, J)
        apart = (self.whiten.index_select(0, group) @ apart).square().sum(1).sqrt()  # (N, J)
        usual, scale = (t.index_select(0, group) for t in (self.usual, self.scale))
        return (apart - usual) / scale


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

    def fit(self, groups: list[Moments], widths: tuple[int, ...]) -> None:
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


def nearest_of_others(
    bank: MemoryBank, group: int, queries: Tensor, owners: Tensor, part: Tensor
) -> tuple[Tensor, Tensor]:
    """Distances and places ``(n, P)`` of pictures' patches ``(n, P, D)`` to rows of other parts.

    ``owners`` ``(M,)`` says which of the pictures a row of the group came from, ``part`` ``(n,)``
    which part a picture shows. Where all rows are of one part, the second nearest stands for a
    stranger's.
    """
    distances, places = [], []
    for picture, half in enumerate(queries):
        own = half.float()
        likeness = own @ bank.columns[group] - bank.half_squares[group]  # (P, M)
        same = part[owners] == part[picture]
        alone = bool(same.all())
        if not alone:
            likeness.index_fill_(1, torch.nonzero(same)[:, 0], -torch.inf)
        if alone and likeness.shape[1] > 1:
            values, indices = (found[:, 1] for found in likeness.topk(2, 1))
        else:
            values, indices = likeness.max(1)  # in half the time of a list of one
        square = own.square().sum(1) - 2 * values
        distances.append(square.clamp_min(0).sqrt())
        places.append(indices)
    return torch.stack(distances), torch.stack(places)


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


def residuals(features: Tensor, few: bool) -> Tensor:
    """What differs from picture to picture ``(n·J, D)``, of features ``(n, D, J)``.

    With ``few`` parts it says little: what differs from place to place stands for it.
    """
    if few:
        apart = features - features.mean(2, keepdim=True)
    else:
        apart = (features - features.mean(0)) * (len(features) / (len(features) - 1)) ** 0.5
    return apart.transpose(1, 2).flatten(0, 1)


def _cross_fitted(features: Tensor, part: Tensor) -> Tensor:
    """Mahalanobis distances ``(n, J)`` of pictures ``(n, D, J)``, each fold's from the others."""
    parts = part.unique()
    few = len(parts) < FOLDS
    everything = torch.arange(len(features), device=features.device)
    if len(parts) == 1:
        mean = _sum(features, everything) / len(everything)
        whiten = _whitening_of(features, everything, mean, few)
        some = [one.float() for one in features.split(_TOGETHER)]
        return torch.cat([_lengths(whiten, one - one.mean(2, keepdim=True)) for one in some])
    fold = (torch.searchsorted(parts, part) % FOLDS).to(features.device)
    result = torch.empty(len(features), features.shape[2], device=features.device)
    sums = {int(k): _sum(features, everything[fold == k]) for k in fold.unique()}
    total = torch.stack(list(sums.values())).sum(0)
    for k, left_out in sums.items():
        others = everything[fold != k]
        mean = (total - left_out) / len(others)
        whiten = _whitening_of(features, others, mean, few)
        for own in everything[fold == k].split(_TOGETHER):
            result[own] = _lengths(whiten, features[own].float() - mean)
    return result


def _lengths(whiten: Tensor, apart: Tensor) -> Tensor:
    return (whiten @ apart).square().sum(1).sqrt()


def _sum(features: Tensor, chosen: Tensor) -> Tensor:
    """Sum ``(D, J)`` of the chosen of pictures ``(n, D, J)``, few of them in full at a time."""
    some = [features[few].float().sum(0) for few in chosen.split(_TOGETHER)]
    return torch.stack(some).sum(0)


def _whitening_of(features: Tensor, chosen: Tensor, mean: Tensor, few: bool) -> Tensor:
    covariance, _ = _covariance(_drawn_residuals(features, chosen, mean, few))
    return whitened(covariance).to(features.device)


def _drawn_residuals(features: Tensor, chosen: Tensor, mean: Tensor, few: bool) -> Tensor:
    """As many of the :func:`residuals` of the chosen as a covariance is taken from ``(m, D)``.

    ``mean`` ``(D, J)`` is that of the chosen.
    """
    count, places = len(chosen), features.shape[2]
    drawn = _drawn(count * places).to(features.device)
    picture, place = chosen[drawn // places], drawn % places
    values = features[picture, :, place].float()  # (m, D)
    if few:
        means = torch.cat([one.float().mean(2) for one in features.split(_TOGETHER)])  # (n, D)
        return values - means[picture]
    return (values - mean.T[place]) * (count / (count - 1)) ** 0.5


def whitening(residuals: Tensor) -> Tensor:
    """``W`` ``(D, D)`` with ``‖W x‖`` the Mahalanobis distance, covariance by Ledoit and Wolf."""
    drawn = residuals[_drawn(len(residuals)).to(residuals.device)]
    return whitened(_covariance(drawn)[0]).to(residuals.device)


def whitened(covariance: Tensor) -> Tensor:
    """``W`` of a covariance ``(D, D)``."""
    # A direction in which nothing ever moved must not turn rounding into distance.
    least = JITTER * covariance.diagonal().mean().clamp_min(1e-12)
    found = covariance + least * torch.eye(len(covariance)).to(covariance)
    return torch.linalg.cholesky(found).inverse().float()


def _drawn(count: int) -> Tensor:
    """Which of so many observations a covariance is taken from."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:OBSERVED]


def _covariance(residuals: Tensor) -> tuple[Tensor, float]:
    """Covariance ``(D, D)`` shrunk by Ledoit and Wolf, and by how much."""
    # Products in float32, which is twice as fast, of parts that are small enough for its digits.
    covariance = torch.stack([(x.T @ x).double() for x in residuals.split(2048)]).sum(0)
    covariance /= len(residuals)
    fourth = float(residuals.square().sum(1).double().square().mean())
    return shrunk(covariance.cpu(), fourth, len(residuals))


def shrunk(covariance: Tensor, fourth: float, observed: float) -> tuple[Tensor, float]:
    """Covariance shrunk by Ledoit and Wolf's rule (Journal of Multivariate Analysis 2004).

    ``fourth`` is the mean fourth power of the length of what it was taken from, ``observed`` times.
    """
    one = torch.eye(len(covariance)).to(covariance)
    level = covariance.diagonal().mean()
    wide = float((covariance - level * one).square().sum())
    noise = (fourth - float(covariance.square().sum())) / observed
    share = min(1.0, max(0.0, noise / wide)) if wide > 0 else 0.0
    return (1 - share) * covariance + share * level * one, share
