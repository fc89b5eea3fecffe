"""Nearest rows of other parts: what good pictures' patches are like, themselves left out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from blemish.nn.memory_bank import shares_above, squares_of


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

    Blocks are of the rows at the places ``columns``, each small enough for what it is multiplied
    to to stay in a processor's cache; a choice is of some blocks.
    ``own`` ``(n,)`` names a choice for each picture, of which all rows with a share are returned
    too, as a memory of these alone would weigh them.
    """
    blocks = [rows[at] for at in columns]
    half = rows.square().sum(1) / 2
    found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in choices]
    nearly: list[NearlyNearest] = []
    for number, (picture, own_part) in enumerate(zip(queries, part, strict=True)):
        patches = picture.float()
        start = torch.where(shows == own_part, -torch.inf, -half)  # (M,)
        values = patches.new_full((len(blocks), len(patches)), -torch.inf)
        places = torch.zeros_like(values, dtype=torch.long)
        chosen = choices[int(own[number])] if own is not None else ()
        squares = squares_of(patches)
        shares = _Shares(squares)
        for k, (block, at) in enumerate(zip(blocks, columns, strict=True)):
            if not len(block):  # a fold may have given no rows
                continue
            near = torch.addmm(start[at], patches, block.T)  # (P, m), q·r − ‖r‖²/2
            values[k], nearest = near.max(1)
            places[k] = at[nearest]
            if k in chosen:
                shares.add(near, values[k], at)
        for choice, to in zip(choices, found, strict=True):
            best, of = values[choice].max(0)
            place = places[choice].gather(0, of[None])[0]
            if not best.isfinite().all():  # all of these rows are of the picture's own part
                held = torch.cat([columns[block] for block in choice])
                two = (patches @ rows[held].T - half[held]).topk(min(2, len(held)), 1)
                best, place = two.values[:, -1], held[two.indices[:, -1]]
            to.append(((squares - 2 * best).clamp_min(0).sqrt(), place))
        if own is not None:
            nearly.append(shares.all())
    return [Nearest(*map(torch.stack, zip(*one, strict=True))) for one in found], nearly


class _Shares:
    """Rows with a share, gathered block by block: what is near enough so far is kept."""

    def __init__(self, squares: Tensor) -> None:
        self.squares = squares  # (P,), of the patches
        self.best = torch.full_like(squares, -torch.inf)
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []  # patch, row and likeness of each

    def add(self, near: Tensor, best: Tensor, columns: Tensor) -> None:
        """Take in a block: likeness ``(P, m)``, its largest ``(P,)``, and the rows' places."""
        self.best = torch.maximum(self.best, best)
        floor = shares_above(self.squares, self.best)[1]
        patch, at = torch.nonzero(near > floor[:, None], as_tuple=True)
        self.kept.append((patch, columns[at], near[patch, at]))

    def all(self) -> NearlyNearest:
        distances, floor = shares_above(self.squares, self.best)
        patch, place, likeness = (torch.cat(some) for some in zip(*self.kept, strict=True))
        share = likeness - floor[patch]
        still = share > 0
        return NearlyNearest(distances, patch[still], place[still], share[still])
