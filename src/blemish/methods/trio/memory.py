"""Patch memory: was a patch like this ever seen, by itself and with what is around it?

PatchCore's memory (Roth et al., CVPR 2022), twice: of patches with their neighbourhood, in which
small irregularities of a good surface even out, and of patches alone, in which they do not. What is
odd must be odd by both: a good patch in odd surroundings is not, nor is a speck that the
surroundings swallow.
"""

from __future__ import annotations

import math
from functools import reduce

import torch
from torch import Tensor, nn

from blemish.methods.trio.blocks import UsualDistance, nearest_of_others
from blemish.nn.coreset import greedy_k_centre
from blemish.nn.memory_bank import MemoryBank


class PatchMemory(nn.Module):
    """Distances to the memories of every product, in deviations of good patches; the least counts.

    Args:
        width: D, channels of a patch.
        size: ``(h, w)`` of the grid.
        kinds: S, how many descriptions a patch has, each with a memory of its own.

    Shapes: features ``(N, S·D, h, w)``, groups ``(N,)`` → ``(N, P)``.
    """

    def __init__(self, width: int, size: tuple[int, int], kinds: int) -> None:
        super().__init__()
        self.width = width
        self.banks = nn.ModuleList(MemoryBank(width) for _ in range(kinds))
        self.usual = nn.ModuleList(UsualDistance(size) for _ in range(kinds))

    def pairs(self) -> list[tuple[MemoryBank, UsualDistance]]:
        """Of every description its memory, and what is usual there."""
        return list(zip(self.banks, self.usual, strict=True))  # type: ignore[arg-type]

    def fit(
        self,
        kept: list[Tensor],
        parts: list[Tensor],
        generator: torch.Generator,
        *,
        rows: int,
        pool: int,
    ) -> list[Tensor]:
        """Choose the rows of every group's pictures ``(n, S·D, h, w)``, and take what is usual.

        Returns what the pictures themselves are ``(n, P)``, each without its own part's rows.
        """
        each = [features.split(self.width, 1) for features in kept]
        found = []
        for kind, (bank, usual) in enumerate(self.pairs()):
            own = [features[kind] for features in each]
            owners = _remember(bank, own, again(generator), rows=rows, pool=pool)
            measured = [
                (*nearest_of_others(bank, g, patches_of(features), owner, part), len(owner))
                for g, (features, owner, part) in enumerate(zip(own, owners, parts, strict=True))
            ]
            found.append(usual.fit(measured, parts))
        return [least(group) for group in zip(*found, strict=True)]

    def forward(self, features: Tensor, group: Tensor) -> Tensor:
        found = []
        own = features.split(self.width, 1)
        for (bank, usual), some in zip(self.pairs(), own, strict=True):
            distances, known = bank.nearest(patches_of(some), usual.of_rows(), group)
            found.append(usual(distances, known, group))
        return least(found)


def least(found: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """The least of several, place by place: odd is what is odd by each."""
    return reduce(torch.minimum, found)


def _remember(
    bank: MemoryBank, kept: list[Tensor], generator: torch.Generator, *, rows: int, pool: int
) -> list[Tensor]:
    """Fill a memory; says which picture of its group each row came from."""
    blocks, owners = [], []
    for features in kept:
        generator = again(generator)
        count, places = len(features), features[0, 0].numel()
        each = min(places, math.ceil(pool / count))
        order = torch.rand(count, places, generator=generator).topk(each, 1).indices
        drawn = zip(patches_of(features), order.to(features.device), strict=True)
        points = torch.cat([own[at] for own, at in drawn]).float()
        taken = greedy_k_centre(points, rows, generator=generator)
        blocks.append(points[taken])
        owners.append(taken // each)
    bank.fill(blocks)
    return owners


def again(generator: torch.Generator) -> torch.Generator:
    """The same numbers for every product: what is drawn of one does not depend on the others."""
    return torch.Generator().manual_seed(generator.initial_seed())


def patches_of(features: Tensor) -> Tensor:
    """Patches ``(N, P, D)`` of features ``(N, D, h, w)``."""
    return features.flatten(2).transpose(1, 2)
