"""Growth: what more good pictures add to a fitted trio, without those that it was fitted on.

A new product is a group of its own, put beside the others as it was fitted. More pictures of a
known one are added to what it left: means and sums as they are, a covariance told from what whitens
it; the memory is chosen anew among its rows and the new patches, and of a row that goes, the
nearest that stays takes over the patches.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.methods.trio.blocks import Apart, UsualDistance
from blemish.methods.trio.memory import PatchMemory, patches_of, together
from blemish.methods.trio.nearest import nearest_of_others
from blemish.methods.trio.place_gaussian import (
    FOLDS,
    JITTER,
    OBSERVED,
    PlaceGaussian,
    residuals,
    shrunk,
    whitened,
)
from blemish.methods.trio.usual import by_place, by_row, moved
from blemish.nn.coreset import greedy_k_centre
from blemish.nn.memory_bank import MemoryBank

#: What fills up a block with fewer rows than the largest, where that is not zero.
_FILLING = {"row_mean": 1.0, "row_scale": 1.0, "half_squares": MemoryBank.beyond}


def put_beside(module: nn.Module, other: nn.Module) -> None:
    """Add the groups of another module of the same kind behind a module's own."""
    for name, own in module.named_buffers(recurse=False):
        new = getattr(other, name).to(own.device)
        if own.dim() > 1:  # the number of rows follows from fitting too
            most, value = max(own.shape[-1], new.shape[-1]), _FILLING.get(name, 0.0)
            own, new = (F.pad(t, (0, most - t.shape[-1]), value=value) for t in (own, new))
        setattr(module, name, torch.cat([own, new]))


def put_in_place(module: nn.Module, group: int, rows: dict[str, Tensor]) -> None:
    """Give a group other rows ``(…, M)``, under the buffers' names, than it has."""
    for name, new in rows.items():
        buffer, value = getattr(module, name), _FILLING.get(name, 0.0)
        buffer = F.pad(buffer, (0, max(0, new.shape[-1] - buffer.shape[-1])), value=value)
        buffer[group] = F.pad(new.to(buffer), (0, buffer.shape[-1] - new.shape[-1]), value=value)
        setattr(module, name, buffer)


def remember(
    memory: PatchMemory,
    group: int,
    features: Tensor,
    part: Tensor,
    *,
    rows: int,
    pool: int,
    generator: torch.Generator,
) -> Apart:
    """Add new pictures ``(n, ΣD_s, h, w)`` to a group's memories and to what is usual there.

    Returns what the new pictures themselves are ``(n, P)``, each by the old pictures and the other
    new parts.
    """
    found = []
    own = features.split(memory.widths, 1)
    for (bank, usual), some in zip(memory.pairs(), own, strict=True):
        queries = patches_of(some)
        found.append(
            _remember(
                *(bank, usual, group, queries, part), rows=rows, pool=pool, generator=generator
            )
        )
    return together(found)


def _remember(
    bank: MemoryBank,
    usual: UsualDistance,
    group: int,
    queries: Tensor,
    part: Tensor,
    *,
    rows: int,
    pool: int,
    generator: torch.Generator,
) -> Apart:
    """The same for patches ``(n, P, D)`` of one description, and its memory."""
    count, places = queries.shape[:2]
    # A picture gives as many patches to choose from as in a fit on all of them.
    seen = float(usual.place_sums[group, 0].mean())
    each = min(places, math.ceil(pool / (seen + count)))
    order = torch.rand(count, places, generator=generator).topk(each, 1).indices
    drawn = zip(queries, order.to(queries.device), strict=True)
    old = bank.rows_of(group)
    points = torch.cat([old, *(own[at].float() for own, at in drawn)])
    taken = greedy_k_centre(points, rows, generator=generator).sort().values
    memory = points[taken]
    row_sums, place_sums = _handed_over(usual, group, old, memory)
    put_in_place(bank, group, bank.columns_of(memory))
    # The old rows are of one part more, which no new picture shows.
    owner = torch.where(taken < len(old), count, (taken - len(old)) // each)
    parts = torch.cat([part, part.max()[None] + 1])
    distances, nearest = nearest_of_others(queries, memory, parts[owner], part)
    row, apart_row = by_row(distances, nearest, len(memory), part, row_sums)
    place, apart_place = by_place(distances, part, usual.smooth, place_sums)
    z = torch.minimum(apart_row, apart_place)
    whole = _sums(z) + seen * places * _powers(usual.mean[group, 0], usual.scale[group, 0])
    mean = whole[1] / whole[0]
    scale = (whole[2] / whole[0] - mean.square()).clamp_min(1e-12).sqrt()
    put_in_place(
        usual,
        group,
        {
            **{f"row_{name}": values for name, values in row._asdict().items()},
            **{f"place_{name}": values for name, values in place._asdict().items()},
            "mean": mean[None],
            "scale": scale[None],
        },
    )
    plain = usual.plain(distances, torch.full_like(part, group, device=distances.device))
    return Apart(((z - mean) / scale).float(), plain)


def _handed_over(
    usual: UsualDistance, group: int, old: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """Sums of the old pictures by row and by place, for the rows that the memory has now.

    A patch at distance d of a row that is gone, δ from the nearest that stays, is taken to be
    √(d² + δ²) from that one: in many dimensions two directions are nearly at right angles.
    """
    sums = usual.row_sums[group, :, : len(old)].double()  # (3, M)
    away, heir = torch.cdist(old, memory).min(1)
    away = torch.where((old == memory[heir]).all(1), 0.0, away).double()  # rounding aside
    mean = sums[1] / sums[0].clamp_min(1)
    farther = (mean.square() + away.square()).sqrt() - mean
    heirs = sums.new_zeros(3, len(memory)).index_add_(1, heir, moved(sums, farther))
    on_average = (sums[0] * farther).sum() / sums[0].sum().clamp_min(1)
    return heirs, moved(usual.place_sums[group], on_average)


class _Spread(NamedTuple):
    """Means of places, and how the features vary about them."""

    pictures: float
    mean: Tensor  # (D, J)
    covariance: Tensor  # (D, D), not shrunk
    fourth: float  # mean fourth power of a residual's length, which shrinkage rests on
    few: bool  # whether what differs from place to place stands for it

    @classmethod
    def left_by(cls, gaussian: PlaceGaussian, group: int, *, few: bool) -> _Spread:
        """Of the pictures that a Gaussian was fitted on, told from what it keeps."""
        mean, pictures = gaussian.mean[group].double(), float(gaussian.sums[group, 0].mean())
        back = gaussian.whiten[group].double().inverse()
        shrunk, one = back @ back.T, torch.eye(len(back)).to(back)
        level = shrunk.diagonal().mean() / (1 + JITTER)
        shrunk -= JITTER * level * one
        share = min(float(gaussian.shrinkage[group]), 0.999)
        covariance = (shrunk - share * level * one) / (1 - share)
        observed = min(OBSERVED, pictures * mean.shape[1])
        wide = float((covariance - level * one).square().sum())
        fourth = float(covariance.square().sum()) + share * observed * wide
        return cls(pictures, mean, covariance, fourth, few)

    @classmethod
    def of(cls, features: Tensor, *, few: bool) -> _Spread:
        """Of pictures ``(n, D, J)`` at hand."""
        apart = residuals(features, few or len(features) == 1).double()
        covariance = apart.T @ apart / len(apart)
        fourth = float(apart.square().sum(1).square().mean())
        return cls(len(features), features.mean(0).double(), covariance, fourth, few)

    def and_of(self, features: Tensor, part: Tensor) -> _Spread:
        """Of these pictures and more."""
        if len(features) == 0:
            return self
        # Pictures enough to tell how they vary replace a stand-in, and never the other way round.
        few = self.few and len(part.unique()) < FOLDS
        new = _Spread.of(features, few=few)
        pictures, step = self.pictures + new.pictures, new.mean - self.mean
        mean = self.mean + step * (new.pictures / pictures)
        if self.few and not few:
            return new._replace(mean=mean, pictures=pictures)
        old_weight, new_weight, total = self.pictures, new.pictures, pictures
        between = torch.zeros_like(self.covariance)
        if not few:
            old_weight, new_weight, total = old_weight - 1, new_weight - 1, pictures - 1
            between = (step @ step.T) * (self.pictures * new.pictures / pictures / step.shape[1])
        return _Spread(
            pictures,
            mean,
            (old_weight * self.covariance + new_weight * new.covariance + between) / total,
            (old_weight * self.fourth + new_weight * new.fourth) / total,
            few,
        )

    def shrunk(self) -> tuple[Tensor, float]:
        """The covariance as the Gaussian takes it."""
        return shrunk(
            self.covariance, self.fourth, min(OBSERVED, self.pictures * self.mean.shape[1])
        )

    def apart(self, features: Tensor) -> Tensor:
        """Mahalanobis distances ``(n, J)`` of pictures ``(n, D, J)``."""
        whiten = whitened(self.shrunk()[0])
        return (whiten @ (features - self.mean.float())).square().sum(1).sqrt()


def widen(
    gaussian: PlaceGaussian, group: int, features: Tensor, part: Tensor, *, few: bool
) -> Tensor:
    """Add pictures ``(n, D, J)`` to a group's means, covariance and usual distances.

    ``few`` says that the group was fitted on few parts. Returns the new pictures' own results
    ``(n, J)``, each measured by the old ones and the other folds.
    """
    before = _Spread.left_by(gaussian, group, few=few)
    fold = part.unique(return_inverse=True)[1] % FOLDS
    distances = features.new_empty(len(features), features.shape[2])
    for k in fold.unique():
        others = before.and_of(features[fold != k], part[fold != k])
        distances[fold == k] = others.apart(features[fold == k])
    usual, apart = by_place(distances, part, known=gaussian.sums[group])
    after = before.and_of(features, part)
    covariance, share = after.shrunk()
    found = {
        "mean": after.mean,
        "whiten": whitened(covariance),
        "usual": usual.mean,
        "scale": usual.scale,
        "sums": usual.sums,
    }
    put_in_place(gaussian, group, found)
    gaussian.shrinkage = gaussian.shrinkage.clone()
    gaussian.shrinkage[group] = share
    return apart


def _sums(values: Tensor) -> Tensor:
    values = values.double()
    return torch.stack([torch.ones_like(values).sum(), values.sum(), values.square().sum()])


def _powers(mean: Tensor, scale: Tensor) -> Tensor:
    """Powers 0, 1 and 2 ``(3,)`` of a value, in the mean."""
    mean, scale = mean.double(), scale.double()
    return torch.stack([torch.ones_like(mean), mean, mean.square() + scale.square()])
