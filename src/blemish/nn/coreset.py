"""Coreset: few points that lie near to every point of a stream, by greedy k-centre.

Roth et al., CVPR 2022, thin their memory so; the greedy rule is Gonzalez's ("Clustering to minimize
the maximum intercluster distance", Theoretical Computer Science 1985): take next the point that is
farthest from all taken. Here pictures come in batches and the memory is bounded: a full pool is
thinned, and what is left goes on with the points that follow. A coreset of coresets of parts covers
the whole within a constant factor of what is possible (Malkomes et al., "Fast Distributed k-Center
Clustering with Outliers on Massive Data", NIPS 2015); the factor grows with every thinning.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
    if dimensions < points.shape[1]:
        projection = torch.randn(points.shape[1], dimensions, generator=generator)
        points = points @ (projection / dimensions**0.5).to(points)
    squares = points.square().sum(1)  # (n,)
    at = int(torch.randint(len(points), (), generator=generator))
    taken = [at]
    nearest = torch.full_like(squares, float("inf"))  # squared, to the points taken
    # Rounding leaves a hair between copies; it must not be taken for a distance.
    smallest = 1e-6 * float(squares.max())
    while len(taken) < count:
        # ‖p‖² − 2 p·t + ‖t‖²: one product over the pool a step.
        apart = torch.addmv(squares, points, points[at], alpha=-2).add_(squares[at])
        torch.minimum(nearest, apart, out=nearest)
        at = int(nearest.argmax())
        if nearest[at] <= smallest:
            break
        taken.append(at)
    return torch.tensor(taken, device=points.device)


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
