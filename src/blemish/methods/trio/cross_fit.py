"""Cross-fitting of a patch memory: what a memory without its fold says of each good picture.

A picture is new to a memory only if that was chosen without it. To choose it anew for every fold,
and to measure all pictures again, would cost as much as so many fits. Nearly all of it is at hand:
without a fold, the rows that others gave stay, and as many as it gave are chosen in their stead,
as k-centre goes on from the rows that there are. So the good pictures are multiplied with the
memory and with all that stands in for folds once: what is nearest without a fold is the largest
of some blocks' maxima, and which rows are nearly as near as that is kept until what is usual for
the rows is known.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from blemish.methods.trio.blocks import Apart, UsualDistance
from blemish.methods.trio.nearest import nearest_by_choice
from blemish.nn.coreset import stand_ins


class PatchPool(NamedTuple):
    """Patches of a group that its memory was chosen from, and those that it holds."""

    points: Tensor  # (m, D)
    owner: Tensor  # (m,) picture that each is from
    taken: Tensor  # (M,) positions among the points


class CrossFitted(NamedTuple):
    """Good pictures' patches ``(n, P)``, measured by what others left."""

    distances: Tensor  # to the memory, without the rows of the picture's own part
    places: Tensor  # of the nearest of these rows
    unseen: Apart | None  # to the memory without the picture's fold


def cross_fitted(
    queries: Tensor,
    chosen: PatchPool,
    part: Tensor,
    fold: Tensor,
    size: tuple[int, int],
    *,
    generator: torch.Generator,
) -> CrossFitted:
    """Measure pictures' patches ``(n, P, D)`` by the memory that was chosen from them.

    ``part`` and ``fold`` ``(n,)`` say what each picture shows, and where that belongs; of one fold
    nothing is unseen. The other folds' good patches, in whose deviations a fold is measured, are
    each measured without the rows of their own part.
    """
    part = part.to(queries.device)
    folds, fold = fold.to(queries.device).unique(return_inverse=True)
    of_point = fold[chosen.owner]
    gave = [torch.nonzero(of_point[chosen.taken] == k)[:, 0] for k in range(len(folds))]
    # Each of these is a choice of blocks of rows: all that were taken, and what is left of them
    # without a fold beside what stands in for it.
    choices = [whole := list(range(len(folds)))]
    instead = []
    if len(folds) > 1:
        choices += [[*(f for f in whole if f != k), len(folds) + k] for k in whole]
        instead = stand_ins(chosen.points, chosen.taken, of_point, generator=generator)
    blocks = [*(chosen.taken[own] for own in gave), *instead]
    points = torch.cat(blocks)
    memory, shows = chosen.points[points], part[chosen.owner[points]]
    columns = list(torch.arange(len(points), device=points.device).split(list(map(len, blocks))))
    own = fold + 1 if instead else None
    (all_rows, *without), nearly = nearest_by_choice(
        queries, memory, shows, part, columns, choices, own
    )
    unseen = Apart(*(torch.empty_like(all_rows.distances) for _ in Apart._fields))
    for k, (apart, at) in enumerate(without):
        held = torch.cat([columns[block] for block in choices[k + 1]])
        number = torch.empty_like(points)
        number[held] = torch.arange(len(held), device=held.device)
        others = fold != k
        usual = UsualDistance(size).to(queries.device)
        usual.fit([(apart[others], number[at[others]], len(held))], [part[others]])
        of_rows = memory.new_zeros(len(points), 2)
        of_rows[held] = usual.of_rows()[0]
        for picture in torch.nonzero(~others)[:, 0].tolist():
            near = nearly[picture]
            distances, known = near.distances[None], near.known(of_rows)[None]
            only = torch.zeros_like(fold[:1])
            unseen.odd[picture] = usual(distances, known, only)[0]
            unseen.plain[picture] = usual.plain(distances, only)[0]
    places = torch.cat(gave)[all_rows.places]
    return CrossFitted(all_rows.distances, places, unseen if instead else None)
