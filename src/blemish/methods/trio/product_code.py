"""Product code: which of the products a picture shows, or that it shows none of them."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.methods.trio.place_gaussian import whitening
from blemish.nn.picture_groups import GroupBuffers

#: Times the usual distance of a product's good pictures from their mean, beyond which a picture
#: shows none of the products. Of eight products' defective parts the farthest lay at 8.0, of
#: pictures of other products the nearest at 10.1 (a board, of a model that knew a tray).
_FAR = 9.0
#: Times the usual distance, oddness of a patch in deviations of good pictures, and share of
#: patches, beyond all three of which a picture shows none of the products either. Of six products
#: and five textures no known part has as many odd patches, good or defective, and no picture of
#: another product lies below 4.2 times. Good parts that lie eight pixels aside can have as many;
#: they lie below 3.6 times.
_APART, _ODD, _NEARLY_ALL = 4.0, 3.0, 0.75
#: Probability of the nearest of two products below which a picture does not tell them apart.
_SURE = 0.99
_FOLDS = 5
#: Parts of a product below which its usual distance is not known.
_FEW = 8
#: Most codes of a group that are kept; only tiles, and much learning on, leave more.
_KEPT = 1000


class ProductCode(GroupBuffers):
    """Product of a picture: the nearest mean, in the covariance that all products share.

    Linear discriminant analysis (Fisher, 1936) on the mean features. What is many times as far from
    the nearest mean as good pictures are, which are measured by the others, belongs to none; nor
    does what is less far, but odd nearly everywhere by the measures of the nearest: a defect is
    somewhere. Where the next product is nearly as near, by the same analysis less than 99 to 1, it
    is its rival.

    Shapes: codes ``(N, D)`` → places among the groups ``(N,)``; the products shown ``(N,)``, −1
    where the picture belongs to none; their rivals ``(N,)``, −1 where there is none.
    """

    centre: Tensor  # (G, D), whitened
    whiten: Tensor  # (D, D)
    limit: Tensor  # (G,), largest squared distance
    doubt: Tensor  # (1,), difference of squared distances below which products are rivals
    shows: Tensor  # (G,), place of the product that a group shows
    codes: Tensor  # (n, D), of the good pictures, for when another product is learned
    code_of: Tensor  # (n, 2), group and part of each

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(1, dimensions))
        self.register_buffer("whiten", torch.eye(dimensions))
        self.register_buffer("limit", torch.full((1,), torch.inf))
        self.register_buffer("doubt", torch.zeros(1))
        self.register_buffer("shows", torch.zeros(1, dtype=torch.long))
        self.register_buffer("codes", torch.zeros(0, dimensions))
        self.register_buffer("code_of", torch.zeros(0, 2, dtype=torch.long))

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # Earlier files have no limit: to them every picture shows one of the products. Nor rivals,
        # nor codes.
        centre = state_dict.get(f"{prefix}centre")
        if centre is not None:
            state_dict.setdefault(f"{prefix}limit", torch.full((len(centre),), torch.inf))
            state_dict.setdefault(f"{prefix}doubt", torch.zeros(1))
            state_dict.setdefault(f"{prefix}shows", torch.arange(len(centre)))
            for name in ("codes", "code_of"):
                state_dict.setdefault(f"{prefix}{name}", getattr(self, name)[:0])
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def fit(
        self, groups: list[Tensor], parts: list[Tensor], shows: list[int] | None = None
    ) -> None:
        """Take the means ``(D,)`` of the codes ``(n, D)`` of every group.

        ``parts`` ``(n,)`` says which part each picture shows; its views are never measured by each
        other. ``shows`` says which product each group shows; ``None``: one of its own.
        """
        kept = [_spread(len(codes)).to(codes.device) for codes in groups]
        self.codes = torch.cat([codes[own] for codes, own in zip(groups, kept, strict=True)])
        of = [torch.full_like(own, g) for g, own in enumerate(kept)]
        own_parts = [part[own] for part, own in zip(parts, kept, strict=True)]
        self.code_of = torch.stack([torch.cat(of), torch.cat(own_parts)], 1)
        shown = range(len(groups)) if shows is None else shows
        self.shows = torch.tensor(shown, device=self.codes.device)
        self.centre, self.whiten = _means(groups)
        self.limit = self.centre.new_full((len(groups),), torch.inf)
        self.doubt = self.centre.new_zeros(1)
        if len(groups) == 1:
            return
        folds = [part.unique(return_inverse=True)[1] % _FOLDS for part in parts]
        squares: list[list[Tensor]] = [[] for _ in groups]
        along: list[Tensor] = []  # offsets of good pictures towards the other products, squared
        for fold in range(_FOLDS):
            # A group of few parts may lie in one fold: it is then measured by itself.
            others = [
                codes[own != fold] if bool((own != fold).any()) else codes
                for codes, own in zip(groups, folds, strict=True)
            ]
            centre, whiten = _means(others)
            for g, (codes, own) in enumerate(zip(groups, folds, strict=True)):
                apart = codes[own == fold] @ whiten.T - centre[g]  # (n, D)
                squares[g].append(apart.square().sum(1))
                others_from_here = F.normalize(torch.cat([centre[:g], centre[g + 1 :]]) - centre[g])
                along.append((apart @ others_from_here.T).square().flatten())
        for g, part in enumerate(parts):
            if len(part.unique()) >= _FEW:
                self.limit[g] = _FAR**2 * torch.cat(squares[g]).median()
        # The log-odds of two products are the difference of their squared distances over twice the
        # variance within a product, which is 1 only for the pictures that were whitened by.
        self.doubt[0] = 2 * math.log(_SURE / (1 - _SURE)) * torch.cat(along).mean()

    def known(self) -> tuple[list[Tensor], list[Tensor]]:
        """Codes ``(n, D)`` and parts ``(n,)`` of every group, as they were given to :meth:`fit`."""
        rows = [torch.nonzero(self.code_of[:, 0] == g)[:, 0] for g in range(len(self.centre))]
        parts = [self.code_of[own, 1] for own in rows]
        return [self.codes[own.to(self.codes.device)] for own in rows], parts

    def squares(self, codes: Tensor) -> Tensor:
        """Squared distances ``(N, G)`` from the means."""
        apart = (codes @ self.whiten.T)[:, None] - self.centre  # (N, G, D)
        return apart.square().sum(2)

    def strange(self, codes: Tensor, local: Tensor, group: Tensor) -> Tensor:
        """Whether pictures ``(N,)`` are apart and, by their patches ``(N, P)``, odd everywhere."""
        apart = (_APART / _FAR) ** 2 * self.limit.index_select(0, group)
        nearly_all = (local > _ODD).to(local.dtype).mean(1) > _NEARLY_ALL
        return nearly_all & (self.squares(codes).amin(1) > apart)

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        squares = self.squares(codes)
        group = squares.argmin(1)
        nearest = squares.amin(1)
        near = nearest <= self.limit.index_select(0, group)
        shown = self.shows.index_select(0, group)
        others = torch.where(self.shows == shown[:, None], torch.inf, squares)  # (N, G)
        rival = self.shows.index_select(0, others.argmin(1))
        none = torch.full_like(group, -1)
        alike = near & (others.amin(1) - nearest < self.doubt)
        return group, torch.where(near, shown, none), torch.where(alike, rival, none)


def _spread(count: int) -> Tensor:
    """Positions of the codes of a group that are kept: all, or as many as may be, evenly spread."""
    return torch.linspace(0, count - 1, min(count, _KEPT)).round().long()


def _means(groups: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Means of the groups ``(G, D)``, whitened, and what whitens ``(D, D)``."""
    means = torch.stack([codes.mean(0) for codes in groups])
    whiten = torch.eye(means.shape[1], device=means.device)
    if len(groups) > 1:
        whiten = whitening(torch.cat([codes - codes.mean(0) for codes in groups]))
    return means @ whiten.T, whiten
