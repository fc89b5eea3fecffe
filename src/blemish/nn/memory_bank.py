"""Memory bank: exact nearest neighbours among rows that good pictures left, as one product.

``‖q − r‖² = ‖q‖² + 2 (‖r‖²/2 − q·r)``, so that the nearest row is the largest ``q·r − ‖r‖²/2``: a
matrix product, an addition and a maximum, which every runtime does fast. One model serves several
products, and the time must not grow with their number: rows lie in blocks, one for each group of
pictures, and a picture is compared with its own group's block alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

#: Numbers that a product may hold in eager mode, 16 MiB of float32.
_CHUNK = 2**22
#: How much farther than the nearest a row may be, of the squared distance, to have a say.
_NEARLY = 0.02
#: Squared distance below which rounding decides, as a share of the query's squared length.
_ROUNDING = 1e-4


class MemoryBank(nn.Module):
    """Distances of queries to the nearest rows of their group's block.

    Until :meth:`fill` there is one block of one row, zero.

    Args:
        dimensions: D of queries and rows.

    Shapes: queries ``(N, P, D)`` and their groups ``(N,)``, ``None`` for the first → Euclidean
    distances ``(N, P)``, never less than a hundredth of the query's length.

    Example:
        >>> import torch
        >>> from blemish.nn.memory_bank import MemoryBank
        >>> bank = MemoryBank(2)
        >>> bank.fill([torch.tensor([[0.0, 0.0], [3.0, 4.0]])])
        >>> bank(torch.tensor([[[0.0, 0.0], [3.0, 0.0], [3.0, 9.0]]])).tolist()
        [[0.0, 3.0, 5.0]]
    """

    #: Half the squared length of a row that is none: far from everything, and still a number.
    beyond: ClassVar[float] = 1e30

    columns: Tensor  # (G, D, M): rows of a block side by side, as the product reads them
    half_squares: Tensor  # (G, 1, M): ‖r‖²/2

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("columns", torch.zeros(1, dimensions, 1))
        self.register_buffer("half_squares", torch.zeros(1, 1, 1))

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # How many groups and rows there are is found only by fitting.
        given = state_dict.get(f"{prefix}columns")
        if given is not None and given.dim() == 3 and given.shape[1] == self.columns.shape[1]:
            groups, dimensions, rows = given.shape
            self.columns = self.columns.new_zeros(groups, dimensions, rows)
            self.half_squares = self.half_squares.new_zeros(groups, 1, rows)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @property
    def groups(self) -> int:
        """G, the number of blocks."""
        return len(self.columns)

    def fill(self, blocks: Sequence[Tensor]) -> None:
        """Put in the rows of every group, each ``(M_g, D)``, in place of all before.

        A block with fewer rows than the largest is filled up with rows that lie beyond reach.
        """
        most, (_, dimensions, _) = max(map(len, blocks)), self.columns.shape
        self.columns = self.columns.new_zeros(len(blocks), dimensions, most)
        self.half_squares = self.half_squares.new_full((len(blocks), 1, most), self.beyond)
        for g, rows in enumerate(blocks):
            for name, values in self.columns_of(rows).items():
                getattr(self, name)[g, :, : len(rows)] = values

    @staticmethod
    def columns_of(rows: Tensor) -> dict[str, Tensor]:
        """Rows ``(M, D)`` as they stand in a block, under the buffers' names."""
        halves = rows.float().square().sum(1) / 2
        return {"columns": rows.T, "half_squares": halves[None]}

    def rows_of(self, group: int) -> Tensor:
        """The rows ``(M_g, D)`` of a block."""
        return self.columns[group, :, self.half_squares[group, 0] < self.beyond / 2].T

    def forward(self, queries: Tensor, group: Tensor | None = None) -> Tensor:
        if torch.compiler.is_exporting():  # a graph has no loop over pictures
            return _distances(
                squares_of(queries), self._likeness(queries, *self._block(group)).amax(2)
            )
        found = []
        for one, columns, half in self._each(queries, group):
            pieces = [
                _distances(squares_of(piece), self._likeness(piece, columns, half).amax(1))
                for piece in _pieces(one, columns)
            ]
            found.append(torch.cat(pieces))
        return torch.stack(found)

    def nearest(
        self, queries: Tensor, values: Tensor, group: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Distances ``(N, P)`` to the nearest rows, and what is known of these ``(N, P, S)``.

        ``values`` ``(G, M, S)`` says it of every row. Rows that are nearly as near have a share in
        it too, an equal one where they are equally near, none from a hundredth farther on: which
        of two is the nearer can be a matter of rounding, and must not decide anything.
        """
        counted = torch.cat([torch.ones_like(values[..., :1]), values], 2)  # (G, M, 1 + S)
        if torch.compiler.is_exporting():
            own = counted[:1]
            if group is not None and self.groups > 1:
                own = counted.index_select(0, group)
            return _nearest(queries, self._likeness(queries, *self._block(group)), own)
        groups = [0] * len(queries) if group is None else group.tolist()
        found = []
        for (one, columns, half), g in zip(self._each(queries, group), groups, strict=True):
            pieces = [
                _nearest(piece, self._likeness(piece, columns, half), counted[g])
                for piece in _pieces(one, columns)
            ]
            found.append([torch.cat(parts) for parts in zip(*pieces, strict=True)])
        distances, known = map(torch.stack, zip(*found, strict=True))
        return distances, known

    def reweighted(self, queries: Tensor, count: int, group: Tensor | None = None) -> Tensor:
        """Distances ``(N,)`` of one query ``(N, D)`` each, weighted by how crowded its row is.

        ``(1 − exp d* / Σ_b exp d_b) d*`` (Roth et al., equation 7): ``d*`` is the distance to the
        nearest row, ``d_b`` those to the ``count`` rows that are nearest to that row, itself among
        them. Far from a row that is alone among its like, a query is odder.
        """
        columns, half = self._block(group)
        count = min(count, columns.shape[2])
        query = queries[:, None]  # (N, 1, D)
        likeness = self._likeness(query, columns, half)  # (N, 1, M)
        best = likeness.argmax(2, keepdim=True)  # (N, 1, 1)
        place = best.expand(-1, columns.shape[1], -1)  # (N, D, 1)
        # Not len(), which fixes the number of pictures in an exported graph.
        row = columns.expand(queries.shape[0], -1, -1).gather(2, place).transpose(1, 2)  # (N, 1, D)
        near = self._likeness(row, columns, half).topk(count, dim=2)  # (N, 1, b)
        around = likeness.gather(2, near.indices)[:, 0]  # (N, b)
        squares = squares_of(query)
        nearest = _distances(squares, likeness.amax(2))  # (N, 1)
        if count == 1:
            return nearest[:, 0]
        apart = (_distances(squares, around) - nearest).clamp_max(80)  # e⁸⁰ is still a float32
        # A row that is none crowds nothing.
        crowd = (apart.exp() * (near.values[:, 0] > -self.beyond / 2)).sum(1)  # (N,)
        return (1 - 1 / crowd) * nearest[:, 0]

    def _block(self, group: Tensor | None) -> tuple[Tensor, Tensor]:
        """Columns and half squares of every picture's group; of all pictures where all share it."""
        if group is None or self.groups == 1:
            return self.columns[:1], self.half_squares[:1]
        return self.columns.index_select(0, group), self.half_squares.index_select(0, group)

    @staticmethod
    def _likeness(queries: Tensor, columns: Tensor, half: Tensor) -> Tensor:
        """``q·r − ‖r‖²/2`` ``(…, P, M)``, the larger the nearer."""
        if queries.dim() == 2:  # in one pass
            return torch.addmm(half, queries, columns, beta=-1)
        return queries @ columns - half

    def _each(self, queries: Tensor, group: Tensor | None) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Every picture's queries with its block, which is not copied."""
        own = [0] * len(queries) if group is None else group.tolist()
        return [
            (one, self.columns[g], self.half_squares[g])
            for one, g in zip(queries, own, strict=True)
        ]


def _pieces(queries: Tensor, columns: Tensor) -> tuple[Tensor, ...]:
    """Queries ``(P, D)`` in parts whose product with the columns stays small."""
    return queries.split(max(1, _CHUNK // columns.shape[1]))


def _nearest(queries: Tensor, likeness: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Of queries ``(…, P, D)``: distances ``(…, P)``, and the values ``(…, P, S)`` of what is near.

    ``values`` ``(…, M, 1 + S)`` are led by a column of ones, which adds up the shares.
    """
    distances, floor = shares_above(squares_of(queries), likeness.amax(-1))
    known = (likeness - floor[..., None]).clamp_min(0) @ values
    return distances, known[..., 1:] / known[..., :1]


def shares_above(squares: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """Distances ``(…)`` of queries, and the likeness from which on a row has a share.

    ``squares`` ``(…)`` are :func:`squares_of` the queries, ``best`` ``(…)`` is the likeness of the
    nearest row; what a row's is above the other is its share.
    """
    distances = _distances(squares, best)
    reach = (_NEARLY / 2 * distances.square()).clamp_min(1e-3)  # in units of likeness
    return distances, best - reach


def squares_of(queries: Tensor) -> Tensor:
    """Squared lengths ``(…)`` of queries ``(…, D)``."""
    return (queries * queries).sum(-1)


def _distances(squares: Tensor, likeness: Tensor) -> Tensor:
    """Euclidean distances of queries from their squared lengths and likeness to a row ``(…)``."""
    # The difference of two large numbers: below a hundredth of the query's length it is rounding,
    # which the root would make large, and two runtimes round differently.
    return torch.maximum(squares - 2 * likeness, _ROUNDING * squares).sqrt()
