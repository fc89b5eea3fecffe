"""Place Gaussian: is a patch what belongs at this place (PaDiM, Defard et al., ICPR 2021)?

Means by place and a covariance of the product, with what good pictures leave of the distance; and
the covariances, shrunk, that it and others are whitened by.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from blemish.methods.trio.usual import by_place
from blemish.nn.picture_groups import GroupBuffers

#: Groups of parts, each of which is measured by means and covariances of the others.
FOLDS = 5
#: Most observations that a covariance is taken from.
OBSERVED = 16000
#: Pictures, or places, whose features are in full precision at a time.
_TOGETHER = 64
#: Of the mean variance, added to all.
JITTER = 1e-6


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

    def cross_fit(
        self, groups: list[Tensor], parts: list[Tensor], folds: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """As :meth:`fit`, and the results of each picture by a fit without its fold ``(n,)``."""
        alone = self.fit(groups, parts)
        unseen = []
        for features, part, fold, own in zip(groups, parts, folds, alone, strict=True):
            found, folds_here = own.clone(), fold.unique()
            for k in folds_here if len(folds_here) > 1 else ():
                other = PlaceGaussian(*features.shape[1:]).to(features.device)
                left = fold != k
                other.fit([features[left.to(features.device)]], [part[left]])
                for some in torch.nonzero(~left)[:, 0].to(features.device).split(_TOGETHER):
                    found[some] = other(features[some].float(), torch.zeros_like(some))
            unseen.append(found)
        return alone, unseen

    def forward(self, features: Tensor, group: Tensor) -> Tensor:
        apart = features - self.mean.index_select(0, group)  # (N, D, J)
        apart = (self.whiten.index_select(0, group) @ apart).square().sum(1).sqrt()  # (N, J)
        usual, scale = (t.index_select(0, group) for t in (self.usual, self.scale))
        return (apart - usual) / scale


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
    one = torch.eye(len(covariance)).to(covariance)
    lower = torch.linalg.cholesky(covariance + least * one)
    return torch.linalg.solve_triangular(lower, one, upper=False).float()


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
