"""Place Gaussian: is a patch what belongs at this place (PaDiM, Defard et al., ICPR 2021)?

Means by place and a covariance of the product, with what good pictures leave of the distance; and
the covariances, shrunk, that it and others are whitened by.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from blemish.methods.trio.usual import Usual, by_place
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
        found = [_fit(_rows_of(one), part) for one, part in zip(groups, parts, strict=True)]
        self._take([fitted for fitted, _ in found])
        return [apart for _, apart in found]

    def cross_fit(
        self, groups: list[Tensor], parts: list[Tensor], folds: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """As :meth:`fit`, and the results of each picture by a fit without its fold ``(n,)``."""
        fitted, alone, unseen = [], [], []
        for features, part, fold in zip(groups, parts, folds, strict=True):
            rows = _rows_of(features)
            whole, own = _fit(rows, part)
            found, folds_here = own.clone(), fold.unique()
            for k in folds_here if len(folds_here) > 1 else ():
                left = fold != k
                others, _ = _fit(rows[left.to(rows.device)], part[left])
                for some in torch.nonzero(~left)[:, 0].to(rows.device).split(_TOGETHER):
                    apart = _lengths(others.whiten, rows[some].float() - others.mean)
                    found[some] = (apart - others.usual.mean) / others.usual.scale
            fitted.append(whole)
            alone.append(own)
            unseen.append(found)
        self._take(fitted)
        return alone, unseen

    def _take(self, groups: list[_Fitted]) -> None:
        self.mean = torch.stack([one.mean.T for one in groups])
        self.whiten = torch.stack([one.whiten for one in groups])
        self.usual = torch.stack([one.usual.mean for one in groups])
        self.scale = torch.stack([one.usual.scale for one in groups])
        self.sums = torch.stack([one.usual.sums for one in groups])
        self.shrinkage = self.mean.new_tensor([one.shrinkage for one in groups])

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


class _Fitted(NamedTuple):
    """What good pictures of a group leave."""

    mean: Tensor  # (J, D)
    whiten: Tensor  # (D, D)
    usual: Usual  # (J,) each
    shrinkage: float


def _rows_of(features: Tensor) -> Tensor:
    """Rows ``(n, J, D)`` of features ``(n, D, J)``, each in one place of the memory."""
    return features.transpose(1, 2).contiguous()


def _fit(rows: Tensor, part: Tensor) -> tuple[_Fitted, Tensor]:
    """Mean, covariance and usual distances of ``(n, J, D)``; distances ``(n, J)``, by others."""
    usual, apart = by_place(_cross_fitted(rows, part), part)
    everything = torch.arange(len(rows), device=rows.device)
    mean = _sum(rows, everything) / len(everything)
    drawn = _drawn_residuals(rows, everything, mean, len(part.unique()) < FOLDS)
    covariance, shrinkage = _covariance(drawn)
    return _Fitted(mean, whitened(covariance).to(rows.device), usual, shrinkage), apart


def _cross_fitted(rows: Tensor, part: Tensor) -> Tensor:
    """Mahalanobis distances ``(n, J)`` of pictures ``(n, J, D)``, each fold's from the others."""
    parts = part.unique()
    few = len(parts) < FOLDS
    everything = torch.arange(len(rows), device=rows.device)
    if len(parts) == 1:
        mean = _sum(rows, everything) / len(everything)
        whiten = _whitening_of(rows, everything, mean, few)
        some = [one.float() for one in rows.split(_TOGETHER)]
        return torch.cat([_lengths(whiten, one - one.mean(1, keepdim=True)) for one in some])
    fold = (torch.searchsorted(parts, part) % FOLDS).to(rows.device)
    result = torch.empty(len(rows), rows.shape[1], device=rows.device)
    sums = {int(k): _sum(rows, everything[fold == k]) for k in fold.unique()}
    total = torch.stack(list(sums.values())).sum(0)
    for k, left_out in sums.items():
        others = everything[fold != k]
        mean = (total - left_out) / len(others)
        whiten = _whitening_of(rows, others, mean, few)
        for own in everything[fold == k].split(_TOGETHER):
            result[own] = _lengths(whiten, rows[own].float() - mean)
    return result


def _lengths(whiten: Tensor, apart: Tensor) -> Tensor:
    """Mahalanobis distances ``(n, J)`` of what rows ``(n, J, D)`` differ by."""
    return (apart @ whiten.T).square().sum(2).sqrt()


def _sum(rows: Tensor, chosen: Tensor) -> Tensor:
    """Sum ``(J, D)`` of the chosen of pictures ``(n, J, D)``, few of them in full at a time."""
    some = [rows[few].float().sum(0) for few in chosen.split(_TOGETHER)]
    return torch.stack(some).sum(0)


def _whitening_of(rows: Tensor, chosen: Tensor, mean: Tensor, few: bool) -> Tensor:
    covariance, _ = _covariance(_drawn_residuals(rows, chosen, mean, few))
    return whitened(covariance).to(rows.device)


def _drawn_residuals(rows: Tensor, chosen: Tensor, mean: Tensor, few: bool) -> Tensor:
    """As many of the :func:`residuals` of the chosen as a covariance is taken from ``(m, D)``.

    ``mean`` ``(J, D)`` is that of the chosen.
    """
    count, places = len(chosen), rows.shape[1]
    drawn = _drawn(count * places).to(rows.device)
    picture, place = chosen[drawn // places], drawn % places
    values = rows[picture, place].float()  # (m, D)
    if few:
        means = torch.cat([one.float().mean(1) for one in rows.split(_TOGETHER)])  # (n, D)
        return values - means[picture]
    return (values - mean[place]) * (count / (count - 1)) ** 0.5


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
