"""Working on a large picture patch by patch, and putting the answers together by a weighted mean.

The patches overlap by half: they are four regular grids without overlap, shifted by half a patch,
so that taking them apart and putting them together are reshapes, exact and exportable. A patch
counts most at its centre, where its network sees context on all sides.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def map_patches(
    pictures: Tensor,
    work: Callable[[Tensor], Tensor],
    *,
    patch: int,
    chunk: int = 0,
) -> Tensor:
    """Apply ``work`` to half-overlapping patches and average its answers, the centre most.

    Args:
        pictures: ``(N, C, H, W)``; H and W multiples of ``patch / 2`` and at least ``patch``.
        work: ``(M, C, patch, patch)`` → ``(M, D, patch, patch)``, each patch by itself.
        patch: Side of a patch, even.
        chunk: Patches per call of ``work``, which bounds the memory; 0: all in one call.

    Returns:
        ``(N, D, H, W)``.

    Raises:
        ValueError: A height or width that the patches do not cover.

    Example:
        >>> import torch
        >>> from blemish.methods.radar.patches import map_patches
        >>> pictures = torch.rand(2, 3, 48, 64)
        >>> same = map_patches(pictures, lambda patches: patches, patch=32)
        >>> torch.allclose(same, pictures)
        True
    """
    height, width = pictures.shape[2:]
    half = patch // 2
    if min(height, width) < patch or height % half or width % half:
        raise ValueError(
            f"pictures of {height}×{width}: expected multiples of {half}, at least {patch}"
        )
    corners = [(top, left) for top in (0, half) for left in (0, half)]
    grids = [Grid(height, width, patch, corner) for corner in corners]
    grids = [grid for grid in grids if grid.rows and grid.columns]
    weight = window(patch, like=pictures)  # (1, 1, patch, patch)
    if chunk:
        answers = [
            torch.cat([work(part) * weight for part in grid.cut(pictures).split(chunk)])
            for grid in grids
        ]
    else:
        cut = torch.cat([grid.cut(pictures) for grid in grids])
        counts = [grid.rows * grid.columns for grid in grids]
        # By image, then by grid: sizes that do not depend on the number of images.
        together = (work(cut) * weight).unflatten(0, (sum(counts), -1))
        answers = [part.flatten(0, 1) for part in together.split(counts)]
    total = pictures.new_zeros(())
    for grid, answer in zip(grids, answers, strict=True):
        total = total + grid.join(answer)
    cover = sum(grid.join(weight.repeat(grid.rows * grid.columns, 1, 1, 1)) for grid in grids)
    return total / cover


class Grid:
    """Patches without overlap from one corner on, as many as fit.

    Args:
        height, width: Of the pictures.
        patch: Side of a patch.
        corner: Top and left of the first patch.

    Example:
        >>> import torch
        >>> from blemish.methods.radar.patches import Grid
        >>> grid = Grid(6, 9, 4, (2, 0))
        >>> tuple(grid.cut(torch.zeros(3, 1, 6, 9)).shape)
        (6, 1, 4, 4)
    """

    def __init__(self, height: int, width: int, patch: int, corner: tuple[int, int]) -> None:
        self.top, self.left = corner
        self.patch = patch
        self.rows, self.columns = (height - self.top) // patch, (width - self.left) // patch
        self.bottom = height - self.top - self.rows * patch
        self.right = width - self.left - self.columns * patch

    def cut(self, pictures: Tensor) -> Tensor:
        """``(N, C, H, W)`` → ``(rows · columns · N, C, patch, patch)``, all pictures' first."""
        p, rows, columns = self.patch, self.rows, self.columns
        inner = pictures[:, :, self.top : self.top + rows * p, self.left : self.left + columns * p]
        inner = inner.reshape(-1, pictures.shape[1], rows, p, columns, p)
        return inner.permute(2, 4, 0, 1, 3, 5).reshape(-1, pictures.shape[1], p, p)

    def join(self, patches: Tensor) -> Tensor:
        """The inverse of :meth:`cut`, 0 where the grid has no patch."""
        p, rows, columns = self.patch, self.rows, self.columns
        depth = patches.shape[1]
        inner = patches.reshape(rows, columns, -1, depth, p, p).permute(2, 3, 0, 4, 1, 5)
        inner = inner.reshape(-1, depth, rows * p, columns * p)
        return F.pad(inner, (self.left, self.right, self.top, self.bottom))


def window(patch: int, *, like: Tensor) -> Tensor:
    """Weights ``(1, 1, patch, patch)``: a pyramid, 1 near the centre, small but positive outside.

    Example:
        >>> import torch
        >>> from blemish.methods.radar.patches import window
        >>> window(4, like=torch.zeros(1))[0, 0, 0].tolist()
        [0.0625, 0.1875, 0.1875, 0.0625]
    """
    ramp = (torch.arange(patch, device=like.device) + 0.5) / patch
    line = 2 * torch.minimum(ramp, 1 - ramp).to(like.dtype)  # (patch,)
    return (line[:, None] * line[None, :])[None, None]
