"""Pseudo-anomalies: features of good pictures, changed as an anomaly would change them.

They cost nothing (no image is drawn, no teacher runs) and teach what must not pass. Patches that
are masked or strange are for the student and its gate, which must rebuild the clean feature; parts
that are swapped, doubled or missing, each of them as good as ever, are for the codes of the whole
picture. Ours; random numbers come from torch's generator.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from blemish.nn.batch_share import drawn, previous_pictures


def corrupt_patches(
    levels: Sequence[Tensor], *, share: float = 0.5, most: int = 3
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Replace rectangles in a share of the images, at the same place in every level.

    A rectangle is masked (zero), or filled with another place of the same image, or with another
    place of another image. Random numbers come from torch's generator.
    An image has ``most`` of them at most, each side an eighth to a third of the image's.

    Returns:
        The changed levels and the mask ``(N, 1, H_L, W_L)`` bool at the deepest level's size.
    """
    n, _, height, width = levels[-1].shape
    device = levels[-1].device
    if not share:
        return tuple(levels), torch.zeros(n, 1, height, width, dtype=torch.bool, device=device)
    mask = _rectangles(n, (height, width), most).to(device)
    mask &= (drawn(lambda n: torch.rand(n, 1, 1, 1), n) < share).to(device)
    kind = drawn(lambda n: torch.randint(0, 3, (n, 1, 1, 1)), n).to(device)
    rows = int(torch.randint(height // 4, height - height // 4 + 1, ())) if height > 1 else 0
    columns = int(torch.randint(width // 4, width - width // 4 + 1, ())) if width > 1 else 0
    changed = []
    for level, here in zip(levels, at_levels(mask, levels), strict=True):
        factor = level.shape[2] // height
        moved = torch.roll(level, (rows * factor, columns * factor), dims=(2, 3))
        filling = torch.where(kind == 1, moved, previous_pictures(moved))
        filling = torch.where(kind == 0, torch.zeros_like(level), filling)
        changed.append(torch.where(here, filling, level))
    return tuple(changed), mask


def at_levels(mask: Tensor, levels: Sequence[Tensor]) -> list[Tensor]:
    """A mask ``(N, 1, H_L, W_L)`` of the deepest level at each level's size."""
    factors = [level.shape[2] // mask.shape[2] for level in levels]
    return [mask.repeat_interleave(f, 2).repeat_interleave(f, 3) for f in factors]


def _rectangles(n: int, size: tuple[int, int], most: int) -> Tensor:
    """``(N, 1, H, W)`` bool: the union of one to ``most`` rectangles per image."""
    count = drawn(lambda n: torch.randint(1, most + 1, (n, 1)), n)  # (N, 1)
    inside = []
    for length in size:
        side = drawn(lambda n: torch.rand(n, most), n) * (length / 3 - length / 8) + length / 8
        start = drawn(lambda n: torch.rand(n, most), n) * (length - side)
        place = torch.arange(length) + 0.5  # (L,)
        inside.append((place >= start[..., None]) & (place < (start + side)[..., None]))
    rectangles = inside[0][..., :, None] & inside[1][..., None, :]  # (N, most, H, W)
    used = torch.arange(most) < count  # (N, most)
    return (rectangles & used[..., None, None]).any(1, keepdim=True)


def displace_parts(features: Tensor) -> Tensor:
    """Rectangles of every picture swapped, doubled, or filled with what lies beside them.

    One or two rectangles per picture, each side an eighth to a third of the picture's. Every
    feature is one of the picture itself; only what is where is wrong.

    Shapes: features ``(N, C, H, W)`` → the same.
    """
    for repeat in range(2):
        moved = _displaced(features)
        again = torch.rand(len(features), 1, 1, 1, device=features.device) < 0.5
        features = torch.where(again, moved, features) if repeat else moved
    return features


def _displaced(features: Tensor) -> Tensor:
    n, _, height, width = features.shape
    kind = torch.randint(0, 3, (n, 1, 1))  # swapped, doubled, removed
    (top, other_top, tall), (left, other_left, wide) = (
        _two_places(n, length) for length in (height, width)
    )
    y, x = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
    here = (y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)  # (N, H, W)
    there = (y >= other_top) & (y < other_top + tall) & (x >= other_left) & (x < other_left + wide)
    across = torch.rand(n, 1, 1) < 0.5  # whether rows or columns beside it fill the gap
    row, column = y.expand(n, -1, width), x.expand(n, height, -1)
    away, beside = other_top - top, other_left - left
    source_row = torch.where(there & (kind < 2), row - away, row)
    source_column = torch.where(there & (kind < 2), column - beside, column)
    swapped = here & ~there & (kind == 0)
    source_row = torch.where(swapped, row + away, source_row)
    source_column = torch.where(swapped, column + beside, source_column)
    gone = here & (kind == 2)
    source_row = torch.where(gone & ~across, _nearest_outside(row, top, tall, height), source_row)
    source_column = torch.where(
        gone & across, _nearest_outside(column, left, wide, width), source_column
    )
    source = (source_row * width + source_column).flatten(1).to(features.device)  # (N, H·W)
    flat = features.flatten(2)
    moved = flat.gather(2, source[:, None].expand(-1, flat.shape[1], -1))
    return moved.view_as(features)


def _two_places(n: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Starts ``(N, 1, 1)`` of two intervals of one extent, and the extent."""
    extent = (torch.rand(n, 1, 1) * (length / 3 - length / 8) + length / 8).long().clamp_min(1)
    starts = [(torch.rand(n, 1, 1) * (length - extent + 1)).long() for _ in range(2)]
    return starts[0], starts[1], extent


def _nearest_outside(place: Tensor, start: Tensor, extent: Tensor, length: int) -> Tensor:
    """For places in an interval, the nearest one before or behind it that there is."""
    before, behind = start - 1, start + extent
    first = (place - start < extent / 2) & (before >= 0) | (behind >= length)
    return torch.where(first, before, behind).clamp(0, length - 1)
