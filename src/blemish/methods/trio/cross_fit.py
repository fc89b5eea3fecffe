"""Cross-fitting of a patch memory: what a memory without its fold says of each good picture.

A picture is new to a memory only if that was chosen without it. To choose it anew for every fold,
and to measure all pictures again, would cost as much as so many fits. Nearly all of it is at hand:
without a fold, the rows that others gave stay, and as many as it gave are chosen in their stead,
as k-centre goes on from the rows that there are. So the good pictures are multiplied with the
memory and with all that stands in for folds once, and what is nearest without a fold is the largest
of some blocks' maxima.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from blemish.methods.trio.blocks import UsualDistance
from blemish.methods.trio.nearest import nearest_by_choice
from blemish.nn.coreset import greedy_k_centre
from blemish.nn.memory_bank import MemoryBank

#: Pictures that are measured together.
_TOGETHER = 16


class PatchPool(NamedTuple):
    """Patches of a group that its memory was chosen from, and those that it holds."""

    points: Tensor  # (m, D)
    owner: Tensor  # (m,) picture that each is from
    taken: Tensor  # (M,) positions among the points

    def without(self, pictures: Tensor, rows: int, generator: torch.Generator) -> Tensor:
        """Positions that stand in for those from ``pictures`` ``(n,)``, a mask, in a memory."""
        left = torch.nonzero(~pictures[self.owner])[:, 0]
        stay = self.taken[~pictures[self.owner[self.taken]]]
        start = torch.searchsorted(left, stay)
        taken = greedy_k_centre(self.points[left], rows, generator=generator, start=start)
        return left[taken[~torch.isin(taken, start)]]


class CrossFitted(NamedTuple):
    """Good pictures' patches ``(n, P)``, measured by what others left."""

    distances: Tensor  # to the memory, without the rows of the picture's own part
    places: Tensor  # of the nearest of these rows
    unseen: Tensor | None  # to the memory without the picture's fold, in deviations of good patches


def cross_fitted(
    queries: Tensor,
    chosen: PatchPool,
    part: Tensor,
    fold: Tensor,
    size: tuple[int, int],
    *,
    rows: int,
    generator: torch.Generator,
) -> CrossFitted:
    """Measure pictures' patches ``(n, P, D)`` by the memory that was chosen from them.

    ``part`` and ``fold`` ``(n,)`` say what each picture shows, and where that belongs; of one fold
    nothing is unseen. The other folds' good patches, in whose deviations a fold is measured, are
    each measured without the rows of their own part.
    """
    part, fold = part.to(queries.device), fold.to(queries.device)
    folds = fold.unique()
    of_row = fold[chosen.owner[chosen.taken]]
    gave = [torch.nonzero(of_row == k)[:, 0] for k in folds]
    # Each of these is a choice of blocks of rows: all that were taken, and what is left of them
    # without a fold beside what stands in for it.
    choices = [whole := list(range(len(folds)))]
    instead = []
    if len(folds) > 1:
        choices += [[*(f for f in whole if f != k), len(folds) + k] for k in whole]
        instead = [chosen.without(fold == k, rows, generator) for k in folds]
    blocks = [*(chosen.taken[own] for own in gave), *instead]
    points = torch.cat(blocks)
    memory, shows = chosen.points[points], part[chosen.owner[points]]
    columns = list(torch.arange(len(points), device=points.device).split(list(map(len, blocks))))
    (distances, places), *nearest = nearest_by_choice(
        queries, memory, shows, part, columns, choices
    )
    unseen = torch.empty_like(distances)
    for k, choice, (apart, at) in zip(folds, choices[1:], nearest, strict=False):
        held = torch.cat([columns[block] for block in choice])
        number = torch.empty_like(points)
        number[held] = torch.arange(len(held), device=held.device)
        others = fold != k
        usual = UsualDistance(size).to(queries.device)
        usual.fit([(apart[others], number[at[others]], len(held))], [part[others]])
        bank = MemoryBank(memory.shape[1]).to(memory.device)
        bank.fill([memory[held]])
        for own in torch.nonzero(~others)[:, 0].split(_TOGETHER):
            new, known = bank.nearest(queries[own].float(), usual.of_rows())
            unseen[own] = usual(new, known, torch.zeros_like(own))
    return CrossFitted(distances, torch.cat(gave)[places], unseen if len(folds) > 1 else None)
