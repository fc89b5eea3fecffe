"""Antialiased resize of pictures to fewer pixels, in operations that every exported graph knows."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Shrink(nn.Module):
    """Bilinear downscaling with an antialiasing filter, a triangle as wide as what becomes a pixel.

    What ``torch.nn.functional.interpolate(…, mode="bilinear", antialias=True)`` gives, which no
    exported graph can: each row, then each column, is a weighted sum of the few around it.

    Args:
        size: ``(H, W)`` of the pictures.
        to: ``(h, w)`` of the result, no larger.

    Shapes: ``(N, C, H, W)``, uint8 or float → ``(N, C, h, w)`` float.

    Example:
        >>> import torch
        >>> from blemish.nn.shrink import Shrink
        >>> picture = torch.arange(8.0).expand(1, 3, 4, 8)
        >>> Shrink((4, 8), (2, 4))(picture)[0, 0, 0].tolist()
        [0.7142857313156128, 2.5, 4.5, 6.285714149475098]
    """

    rows: Tensor
    columns: Tensor  # (T, size), the positions of what is taken
    rows_weights: Tensor
    columns_weights: Tensor

    def __init__(self, size: tuple[int, int], to: tuple[int, int]) -> None:
        super().__init__()
        for name, before, after in zip(("rows", "columns"), size, to, strict=True):
            taken, weights = _taps(before, after)
            # They follow from the sizes, and are no part of what was learned.
            self.register_buffer(name, taken, persistent=False)
            self.register_buffer(f"{name}_weights", weights, persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        pictures = pictures.float()
        pictures = _weighted(pictures, 2, self.rows, self.rows_weights[..., None])
        return _weighted(pictures, 3, self.columns, self.columns_weights)


def _weighted(pictures: Tensor, dim: int, taken: Tensor, weights: Tensor) -> Tensor:
    """Sum over taps ``(T, size)`` of what is taken along a dimension, weighted."""
    total = pictures.index_select(dim, taken[0]) * weights[0]
    for at, weight in zip(taken[1:], weights[1:], strict=True):
        total = total + pictures.index_select(dim, at) * weight
    return total


def _taps(before: int, after: int) -> tuple[Tensor, Tensor]:
    """Positions and weights ``(T, after)`` of what each new pixel is made of."""
    ratio = before / after
    centre = (torch.arange(after, dtype=torch.double) + 0.5) * ratio
    first = (centre - ratio + 0.5).floor().clamp_min(0).long()
    past = (centre + ratio + 0.5).floor().clamp_max(before).long()
    taken = first + torch.arange(int((past - first).max()))[:, None]
    weights = (1 - ((taken + 0.5 - centre) / ratio).abs()).clamp_min(0) * (taken < past)
    return taken.clamp_max(before - 1), (weights / weights.sum(0)).float()
