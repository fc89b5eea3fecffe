"""Patch memory: was a patch like this ever seen, by itself and with what is around it?

PatchCore's memory (Roth et al., CVPR 2022), twice: of patches with their neighbourhood, in which
small irregularities of a good surface even out, and of patches alone, in which they do not. What is
odd must be odd by both: a good patch in odd surroundings is not, nor is a speck that the
surroundings swallow. The first is asked only about the quarter of a picture's patches that the
second finds oddest, for among these is the one that decides.

What decides is standardised row by row and place by place. A map that is so standardised fades
where good patches differ much, as all of an unaligned product does: it shows the second memory's
distances as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from blemish.methods.trio.blocks import Apart, UsualDistance
from blemish.methods.trio.cross_fit import PatchPool, cross_fitted
from blemish.nn.coreset import greedy_k_centre
from blemish.nn.memory_bank import MemoryBank

#: One patch in so many, the oddest by the last memory, is what the one before it is asked about;
#: of small grids so many are, or all.
_ONE_IN, _FEWEST = 4, 16


class PatchMemory(nn.Module):
    """Distances to the memories of every product, in deviations of good patches.

    The least counts where the last memory finds a patch odd (:func:`kinder`).

    Args:
        widths: ``D_s``, channels of each of the S descriptions that a patch has; each description
            has a memory of its own.
        size: ``(h, w)`` of the grid.

    Shapes: features ``(N, ΣD_s, h, w)``, groups ``(N,)`` → :class:`Apart` of ``(N, P)``.
    """

    def __init__(self, widths: Sequence[int], size: tuple[int, int]) -> None:
        super().__init__()
        self.widths = list(widths)
        self.banks = nn.ModuleList(MemoryBank(width) for width in widths)
        self.usual = nn.ModuleList(UsualDistance(size) for _ in widths)

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
    ) -> tuple[list[Apart], list[Apart]]:
        """Choose the rows of every group's pictures ``(n, ΣD_s, h, w)``, and take what is usual.

        Returns what the pictures themselves are ``(n, P)``, each without its own part's rows; and
        what they are to the memory of the other folds (``folds``, ``(n,)`` each), where there are
        others.
        """
        each = [features.split(self.widths, 1) for features in kept]
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
            odd = usual.fit(left, parts)
            plain = [
                usual.plain(own.distances, torch.full_like(part, g, device=own.distances.device))
                for g, (own, part) in enumerate(zip(measured, parts, strict=True))
            ]
            alone.append(list(map(Apart, odd, plain)))
            both = zip(alone[-1], measured, strict=True)
            unseen.append([a if own.unseen is None else own.unseen for a, own in both])
        return [together(own) for own in zip(*alone, strict=True)], [
            together(own) for own in zip(*unseen, strict=True)
        ]

    def forward(self, features: Tensor, group: Tensor) -> Apart:
        own = map(patches_of, features.split(self.widths, 1))
        *others, ((bank, usual), patches) = zip(self.pairs(), own, strict=True)
        distances, known = bank.nearest(patches, usual.of_rows(), group)
        asked = [partial(_odd, *pair, some, group) for pair, some in reversed(others)]
        odd = _lessened(usual(distances, known, group), asked)
        return Apart(odd, usual.plain(distances, group))


def together(found: Sequence[Apart]) -> Apart:
    """What several memories together say of patches, and the last one's plain distances."""
    return found[-1]._replace(odd=kinder([own.odd for own in found]))


def kinder(found: Sequence[Tensor]) -> Tensor:
    """What several memories together say of patches ``(n, P)`` that each has measured.

    The least of what the last says of a patch and of what those before do, if the last finds it
    among the oddest of its picture. It stays among these then: so nothing hangs on which of two
    equally odd ones is.
    """
    *others, last = found
    return _lessened(last, [partial(apart.gather, 1) for apart in reversed(others)])


def _lessened(found: Tensor, others: Iterable[Callable[[Tensor], Tensor]]) -> Tensor:
    """``found`` ``(n, P)``, where it is odd no more than what each of ``others`` says there.

    These are asked about the places ``(n, K)`` of the oddest patches so far.
    """
    places = found.shape[1]
    asked = min(places, max(_FEWEST, -(-places // _ONE_IN)))
    for ask in others:
        odd = found.topk(asked, dim=1)
        least = torch.minimum(odd.values, ask(odd.indices))
        if asked < places:
            least = torch.maximum(least, odd.values[:, -1:])
        found = found.scatter(1, odd.indices, least)
    return found


def _odd(
    bank: MemoryBank, usual: UsualDistance, patches: Tensor, group: Tensor, places: Tensor
) -> Tensor:
    """Distances of those of the patches ``(N, P, D)`` at some places ``(N, K)``, in deviations."""
    patches = patches.gather(1, places[..., None].expand(-1, -1, patches.shape[2]))
    distances, known = bank.nearest(patches, usual.of_rows(), group)
    return usual(distances, known, group, places)


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
