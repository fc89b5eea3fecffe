"""Nearest rows of other parts: what good pictures' patches are like, themselves left out."""

from __future__ import annotations

import torch
from torch import Tensor


def nearest_of_others(
    queries: Tensor, rows: Tensor, shows: Tensor, part: Tensor
) -> tuple[Tensor, Tensor]:
    """Distances and places ``(n, P)`` of pictures' patches ``(n, P, D)`` to rows of other parts.

    ``shows`` ``(M,)`` is the part that each of the rows ``(M, D)`` is of, ``part`` ``(n,)`` the one
    that a picture shows. Where all rows are of that one, the second nearest stands for a
    stranger's.
    """
    everything = torch.arange(len(rows), device=rows.device)
    return nearest_by_choice(queries, rows, shows, part, [everything], [[0]])[0]


def nearest_by_choice(
    queries: Tensor,
    rows: Tensor,
    shows: Tensor,
    part: Tensor,
    columns: list[Tensor],
    choices: list[list[int]],
) -> list[tuple[Tensor, Tensor]]:
    """The same for every choice of rows, by one product.

    The rows lie in blocks, side by side, whose places are ``columns``; a choice is of some blocks.
    """
    half, across = rows.square().sum(1) / 2, rows.T.contiguous()
    found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in choices]
    likeness = half.new_empty(queries.shape[1], len(rows))  # once: so many pages take time to get
    for picture, own_part in zip(queries, part, strict=True):
        own = picture.float()
        torch.addmm(-half, own, across, out=likeness)  # (P, M), q·r − ‖r‖²/2
        likeness.index_fill_(1, torch.nonzero(shows == own_part)[:, 0], -torch.inf)
        values = own.new_full((len(columns), len(own)), -torch.inf)
        places = torch.zeros_like(values, dtype=torch.long)
        for k, block in enumerate(likeness.split(list(map(len, columns)), 1)):
            if block.shape[1]:  # a fold may have given no rows
                values[k], at = block.max(1)
                places[k] = columns[k][at]
        square = own.square().sum(1)
        for choice, to in zip(choices, found, strict=True):
            best, of = values[choice].max(0)
            place = places[choice].gather(0, of[None])[0]
            if not best.isfinite().all():  # all of these rows are of the picture's own part
                held = torch.cat([columns[block] for block in choice])
                near = (own @ across[:, held] - half[held]).topk(min(2, len(held)), 1)
                best, place = near.values[:, -1], held[near.indices[:, -1]]
            to.append(((square - 2 * best).clamp_min(0).sqrt(), place))
    return [
        (torch.stack(distances), torch.stack(nearest))
        for distances, nearest in (zip(*one, strict=True) for one in found)
    ]
