"""Pseudo-anomalies in feature space: patches masked, or swapped for content of another place.

They cost nothing (the teacher's cached features are changed, no image is drawn) and teach a
student what must not pass: the clean feature is what it has to rebuild.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def corrupt_patches(
    levels: Sequence[Tensor], *, share: float = 0.5, most: int = 3
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Replace rectangles in a share of the images, at the same place in every level.

    A rectangle is masked (zero, the mean of standardised features), or filled with another place
    of the same image, or with another place of another image. Random numbers come from torch's
    generator.

    Args:
        levels: Standardised levels ``(N, C_l, H_l, W_l)``, whole multiples of the deepest's size.
        share: Expected share of the images that are changed.
        most: Largest number of rectangles in an image; each side is an eighth to a third of the
            image's.

    Returns:
        The changed levels and the mask ``(N, 1, H_L, W_L)`` bool at the deepest level's size.

    Example:
        >>> import torch
        >>> from blemish.methods.logicrd.pseudo_anomaly import corrupt_patches
        >>> _ = torch.manual_seed(0)
        >>> levels = (torch.randn(8, 4, 16, 24), torch.randn(8, 6, 8, 12))
        >>> changed, mask = corrupt_patches(levels)
        >>> bool(((changed[1] != levels[1]).any(1, keepdim=True) <= mask).all())
        True
    """
    n, _, height, width = levels[-1].shape
    device = levels[-1].device
    mask = _rectangles(n, (height, width), most).to(device)
    mask &= (torch.rand(n, 1, 1, 1) < share).to(device)
    kind = torch.randint(0, 3, (n, 1, 1, 1)).to(device)
    other = torch.roll(torch.arange(n), 1)
    rows = int(torch.randint(height // 4, height - height // 4 + 1, ())) if height > 1 else 0
    columns = int(torch.randint(width // 4, width - width // 4 + 1, ())) if width > 1 else 0
    changed = []
    for level in levels:
        factor = level.shape[2] // height
        moved = torch.roll(level, (rows * factor, columns * factor), dims=(2, 3))
        filling = torch.where(kind == 1, moved, moved[other])
        filling = torch.where(kind == 0, torch.zeros_like(level), filling)
        here = mask.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        changed.append(torch.where(here, filling, level))
    return tuple(changed), mask


def _rectangles(n: int, size: tuple[int, int], most: int) -> Tensor:
    """``(N, 1, H, W)`` bool: the union of one to ``most`` rectangles per image."""
    count = torch.randint(1, most + 1, (n, 1))  # (N, 1)
    inside = []
    for length in size:
        side = torch.rand(n, most) * (length / 3 - length / 8) + length / 8
        start = torch.rand(n, most) * (length - side)
        place = torch.arange(length) + 0.5  # (L,)
        inside.append((place >= start[..., None]) & (place < (start + side)[..., None]))
    rectangles = inside[0][..., :, None] & inside[1][..., None, :]  # (N, most, H, W)
    used = torch.arange(most) < count  # (N, most)
    return (rectangles & used[..., None, None]).any(1, keepdim=True)
