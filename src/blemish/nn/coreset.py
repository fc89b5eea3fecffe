"""Coreset: few points that lie near to every point of a stream, by greedy k-centre.

Roth et al., CVPR 2022, thin their memory so; the greedy rule is Gonzalez's ("Clustering to minimize
the maximum intercluster distance", Theoretical Computer Science 1985): take next the point that is
farthest from all taken. Here pictures come in batches and the memory is bounded: a full pool is
thinned, and what is left goes on with the points that follow. A coreset of coresets of parts covers
the whole within a constant factor of what is possible (Malkomes et al., "Fast Distributed k-Center
Clustering with Outliers on Massive Data", NIPS 2015); the factor grows with every thinning.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_FAR = 16  # points that are looked at together; more are rarely all taken
_CHUNK = 256  # points taken before whose distances are measured together


def greedy_k_centre(
    points: Tensor, count: int, *, generator: torch.Generator, dimensions: int = 64
) -> Tensor:
    """Positions ``(k,)`` of at most ``count`` points ``(n, D)`` that cover all of them.

    The first is drawn; fewer than ``count`` come back where the rest are copies of those taken.

    Args:
        points: On any device.
        count: Largest number of positions.
        generator: Source of the first point and of the projection.
        dimensions: Width of the random projection that distances are measured in (Johnson and
            Lindenstrauss, 1984; Roth et al. use one as well); wider than D = the points themselves.

    Example:
        >>> import torch
        >>> from blemish.nn.coreset import greedy_k_centre
        >>> points = torch.tensor([[0.0], [0.1], [9.0], [9.1]])
        >>> taken = greedy_k_centre(points, 2, generator=torch.Generator().manual_seed(0))
        >>> sorted(int(points[at].round()) for at in taken)
        [0, 9]
    """
    if count >= len(points):
        return torch.arange(len(points), device=points.device)
    points = _projected(points, dimensions, generator)
    squares = points.square().sum(1)  # (n,)
    first = torch.randint(len(points), (1,), generator=generator).to(points.device)
    nearest = _nearest(points[first], points, squares)
    return torch.cat([first, _farthest(points, squares, nearest, count - 1)])


def stand_ins(
    points: Tensor,
    taken: Tensor,
    fold: Tensor,
    *,
    generator: torch.Generator,
    dimensions: int = 64,
) -> list[Tensor]:
    """Positions that stand in for those of each fold in a :func:`greedy_k_centre`.

    Without a fold the positions of the others stay, and as many as it gave are chosen among the
    others' points, as k-centre goes on. How far points are from what a fold gave is measured once,
    for all folds.

    Args:
        points: ``(n, D)``.
        taken: ``(k,)``, as :func:`greedy_k_centre` found them.
        fold: ``(n,)``, 0 … F − 1, that each point belongs to.
        generator: Source of the projection.
        dimensions: Its width.

    Returns:
        F times ``(k_f,)``, fewer than the fold gave where the rest are copies.

    Example:
        >>> import torch
        >>> from blemish.nn.coreset import stand_ins
        >>> points, fold = torch.tensor([[0.0], [5.0], [9.0], [9.1]]), torch.tensor([0, 0, 1, 0])
        >>> taken, generator = torch.tensor([0, 2]), torch.Generator().manual_seed(0)
        >>> [at.tolist() for at in stand_ins(points, taken, fold, generator=generator)]
        [[], [3]]
    """
    points = _projected(points, dimensions, generator)
    squares = points.square().sum(1)
    gave = [taken[fold[taken] == k] for k in range(int(fold.max()) + 1)]
    to_each = torch.stack([_nearest(points[own], points, squares) for own in gave])  # (F, n)
    found = []
    for k, own in enumerate(gave):
        nearest = torch.cat([to_each[:k], to_each[k + 1 :]]).amin(0)
        nearest[fold == k] = 0.0  # is never the farthest
        found.append(_farthest(points, squares, nearest, len(own)))
    return found


def _projected(points: Tensor, dimensions: int, generator: torch.Generator) -> Tensor:
    if dimensions >= points.shape[1]:
        return points
    projection = torch.randn(points.shape[1], dimensions, generator=generator)
    return points @ (projection / dimensions**0.5).to(points)


def _nearest(some: Tensor, points: Tensor, squares: Tensor) -> Tensor:
    """Squared distances ``(n,)`` of points to the nearest of some ``(k, D)``, ∞ of none."""
    nearest = torch.full_like(squares, torch.inf)
    for few in some.split(_CHUNK):
        if len(few):
            nearest = torch.minimum(nearest, _apart(few, points, squares).amin(0))
    return nearest


def _farthest(points: Tensor, squares: Tensor, nearest: Tensor, count: int) -> Tensor:
    """The next ``count`` positions of k-centre, given the squared distances to those taken.

    Fewer where no point is left that is no copy.
    """
    # Rounding leaves a hair between copies; it must not be taken for a distance.
    smallest = 1e-6 * float(squares.max())
    taken: list[Tensor] = []
    while count > 0:
        # A distance to the nearest taken only ever falls, so that of the farthest few the next ones
        # can be told from each other alone, for as long as they stay above all the rest: one
        # product over the pool then serves them all.
        far = nearest.topk(min(_FAR + 1, len(points)))
        among = _apart(points[far.indices], points[far.indices], squares[far.indices]).cpu().numpy()
        left = far.values.cpu().numpy().copy()
        rest = left[-1]
        new: list[int] = []
        while len(new) < count:
            at = int(left[:_FAR].argmax())
            if left[at] <= smallest or (new and left[at] < rest):
                break
            new.append(at)
            np.minimum(left, among[at], out=left)
            left[at] = 0.0
        if not new:
            break
        rows = far.indices[new]
        taken.append(rows)
        count -= len(rows)
        nearest = torch.minimum(nearest, _apart(points[rows], points, squares).amin(0))
    return torch.cat(taken) if taken else nearest.new_zeros(0, dtype=torch.long)


def _apart(centres: Tensor, points: Tensor, squares: Tensor) -> Tensor:
    """Squared distances ``(k, n)`` to points whose squared lengths are known."""
    return torch.addmm(squares, centres, points.T, alpha=-2) + centres.square().sum(1)[:, None]


class StreamedCoreset:
    """Coreset of points that come in batches, in bounded memory.

    Args:
        rows: Largest number of points at the end.
        bound: Points the pool may hold before it is thinned; at least twice ``rows`` are allowed.
        generator: Source of every random choice.
    """

    def __init__(self, rows: int, *, bound: int, generator: torch.Generator) -> None:
        self.rows, self.bound, self.generator = rows, max(bound, 2 * rows), generator
        self._parts: list[Tensor] = []

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def add(self, points: Tensor) -> None:
        """Take in points ``(n, D)``."""
        self._parts.append(points)
        if len(self) > self.bound:
            self._parts = [self.points()]

    def points(self) -> Tensor:
        """The coreset ``(m, D)`` of all points so far, m at most ``rows``."""
        pool = torch.cat(self._parts)
        return pool[greedy_k_centre(pool, self.rows, generator=self.generator)]
