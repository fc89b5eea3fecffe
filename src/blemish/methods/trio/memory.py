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

from blemish.methods.trio.blocks import UsualDistance
from blemish.methods.trio.cross_fit import PatchPool, cross_fitted
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
        folds: list[Tensor],
        generator: torch.Generator,
        *,
        rows: int,
        pool: int,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Choose the rows of every group's pictures ``(n, S·D, h, w)``, and take what is usual.

        Returns what the pictures themselves are ``(n, P)``, each without its own part's rows; and
        what they are to the memory of the other folds (``folds``, ``(n,)`` each), where there are
        others.
        """
        each = [features.split(self.width, 1) for features in kept]
        alone, unseen = [], []
        for kind, (bank, usual) in enumerate(self.pairs()):
            blocks, measured = [], []
            for features, part, fold in zip(each, parts, folds, strict=True):
                queries = patches_of(features[kind])
                chosen = _choose(queries, again(generator), rows=rows, pool=pool)
                blocks.append(chosen.points[chosen.taken])
                group = queries, chosen, part, fold, usual.size
                measured.append(cross_fitted(*group, generator=again(generator)))
            bank.fill(blocks)
            left = [
                (own.distances, own.places, len(block))
                for own, block in zip(measured, blocks, strict=True)
            ]
            alone.append(usual.fit(left, parts))
            both = zip(alone[-1], measured, strict=True)
            unseen.append([a if own.unseen is None else own.unseen for a, own in both])
        return [least(own) for own in zip(*alone, strict=True)], [
            least(own) for own in zip(*unseen, strict=True)
        ]

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


def _choose(queries: Tensor, generator: torch.Generator, *, rows: int, pool: int) -> PatchPool:
    """Rows of a memory, from as many patches of every picture ``(n, P, D)``."""
    count, places = queries.shape[:2]
    each = min(places, math.ceil(pool / count))
    order = torch.rand(count, places, generator=generator).topk(each, 1).indices
    drawn = zip(queries, order.to(queries.device), strict=True)
    points = torch.cat([own[at] for own, at in drawn]).float()
    owner = torch.arange(count, device=points.device).repeat_interleave(each)
    return PatchPool(points, owner, greedy_k_centre(points, rows, generator=generator))


def again(generator: torch.Generator) -> torch.Generator:
    """The same numbers for every product: what is drawn of one does not depend on the others."""
    return torch.Generator().manual_seed(generator.initial_seed())


def patches_of(features: Tensor) -> Tensor:
    """Patches ``(N, P, D)`` of features ``(N, D, h, w)``."""
    return features.flatten(2).transpose(1, 2)
