"""Nearest rows of other parts: what good pictures' patches are like, themselves left out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from blemish.nn.memory_bank import shares_above


class Nearest(NamedTuple):
    """Nearest rows of pictures' patches, in a choice of rows without the picture's own part."""

    distances: Tensor  # (n, P)
    places: Tensor  # (n, P)


class NearlyNearest(NamedTuple):
    """All rows that have a share in what is known of a picture's patches."""

    distances: Tensor  # (P,)
    patch: Tensor  # (s,) which patch
    place: Tensor  # (s,) which row
    share: Tensor  # (s,) how much of it, in no unit

    def known(self, values: Tensor) -> Tensor:
        """What is known of the patches ``(P, S)``, of values ``(M, S)`` of every row."""
        counted = torch.cat([torch.ones_like(values[:, :1]), values], 1)[self.place]
        sums = counted.new_zeros(len(self.distances), counted.shape[1])
        sums.index_add_(0, self.patch, counted * self.share[:, None])
        return sums[:, 1:] / sums[:, :1]


def nearest_of_others(
    queries: Tensor, rows: Tensor, shows: Tensor, part: Tensor
) -> tuple[Tensor, Tensor]:
    """Distances and places ``(n, P)`` of pictures' patches ``(n, P, D)`` to rows of other parts.

    ``shows`` ``(M,)`` is the part that each of the rows ``(M, D)`` is of, ``part`` ``(n,)`` the one
    that a picture shows. Where all rows are of that one, the second nearest stands for a
    stranger's.
    """
    everything = torch.arange(len(rows), device=rows.device)
    return nearest_by_choice(queries, rows, shows, part, [everything], [[0]])[0][0]


def nearest_by_choice(
    queries: Tensor,
    rows: Tensor,
    shows: Tensor,
    part: Tensor,
    columns: list[Tensor],
    choices: list[list[int]],
    own: Tensor | None = None,
) -> tuple[list[Nearest], list[NearlyNearest]]:
    """The same for every choice of rows, by one product.

    The rows lie in blocks, side by side, whose places are ``columns``; a choice is of some blocks.
    ``own`` ``(n,)`` names a choice for each picture, of which all rows with a share are returned
    too, as a memory of these alone would weigh them.
    """
    half, across = rows.square().sum(1) / 2, rows.T.contiguous()
    found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in choices]
    nearly: list[NearlyNearest] = []
    widths = list(map(len, columns))
    likeness = half.new_empty(queries.shape[1], len(rows))  # once: so many pages take time to get
    for number, (picture, own_part) in enumerate(zip(queries, part, strict=True)):
        patches = picture.float()
        torch.addmm(-half, patches, across, out=likeness)  # (P, M), q·r − ‖r‖²/2
        likeness.index_fill_(1, torch.nonzero(shows == own_part)[:, 0], -torch.inf)
        blocks = likeness.split(widths, 1)
        values = patches.new_full((len(columns), len(patches)), -torch.inf)
        places = torch.zeros_like(values, dtype=torch.long)
        for k, block in enumerate(blocks):
            if block.shape[1]:  # a fold may have given no rows
                values[k], at = block.max(1)
                places[k] = columns[k][at]
        square = patches.square().sum(1)
        for choice, to in zip(choices, found, strict=True):
            best, of = values[choice].max(0)
            place = places[choice].gather(0, of[None])[0]
            if not best.isfinite().all():  # all of these rows are of the picture's own part
                held = torch.cat([columns[block] for block in choice])
                near = (patches @ across[:, held] - half[held]).topk(min(2, len(held)), 1)
                best, place = near.values[:, -1], held[near.indices[:, -1]]
            to.append(((square - 2 * best).clamp_min(0).sqrt(), place))
        if own is not None:
            choice = choices[int(own[number])]
            nearly.append(
                _nearly(patches, values[choice], [(blocks[b], columns[b]) for b in choice])
            )
    return [Nearest(*map(torch.stack, zip(*one, strict=True))) for one in found], nearly


def _nearly(patches: Tensor, values: Tensor, blocks: list[tuple[Tensor, Tensor]]) -> NearlyNearest:
    """Of patches ``(P, D)``, their largest likeness in each block, and blocks with their places."""
    best = values.amax(0)
    distances, floor = shares_above(patches, best)
    patch, place, share = [], [], []
    for block, columns in blocks:
        rows, at = torch.nonzero(block > floor[:, None], as_tuple=True)
        patch.append(rows)
        place.append(columns[at])
        share.append(block[rows, at] - floor[rows])
    return NearlyNearest(distances, torch.cat(patch), torch.cat(place), torch.cat(share))
