"""Patch features: a teacher's levels over small neighbourhoods, on one grid, joined.

The locally aware patch features of Roth et al., "Towards Total Recall in Industrial Anomaly
Detection", CVPR 2022, section 3.1. What is averaged here is also what an exported graph runs for
every picture, so that all of it is pooling and one resize.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchFeatures(nn.Module):
    """Levels averaged over k×k neighbours, brought to the grid of one of them, and concatenated.

    Finer levels are averaged over as many more positions as they are finer, in the same pass;
    coarser ones are resized bilinearly.

    Args:
        sizes: ``(H_l, W_l)`` of the levels, shallow to deep, each a whole multiple of the next.
        grid: Position among ``sizes`` of the level whose grid the patches lie on.
        neighbourhood: k, odd; 1 = every position by itself.

    Shapes: levels ``(N, C_l, H_l, W_l)`` → ``(N, ΣC, h, w)``.

    Example:
        >>> import torch
        >>> from blemish.nn.patch_features import PatchFeatures
        >>> join = PatchFeatures([(8, 12), (4, 6), (2, 3)], grid=1)
        >>> levels = [torch.ones(1, 2, 8, 12), torch.ones(1, 3, 4, 6), torch.ones(1, 4, 2, 3)]
        >>> tuple(join(levels).shape)
        (1, 9, 4, 6)
    """

    def __init__(
        self, sizes: Sequence[tuple[int, int]], *, grid: int, neighbourhood: int = 3
    ) -> None:
        super().__init__()
        self.sizes, self.size, self.neighbourhood = list(sizes), sizes[grid], neighbourhood

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        return torch.cat([self._on_grid(f, s) for f, s in zip(levels, self.sizes, strict=True)], 1)

    def _on_grid(self, level: Tensor, size: tuple[int, int]) -> Tensor:
        stride = max(1, size[0] // self.size[0])
        side = self.neighbourhood + stride - 1  # the neighbourhoods of a patch's own positions
        if side > 1:
            # Positions beyond the edge are left out of the mean, not taken for zeros.
            pad = self.neighbourhood // 2
            level = F.avg_pool2d(level, side, stride, pad, count_include_pad=False)
        if size[0] < self.size[0]:
            return F.interpolate(level, size=self.size, mode="bilinear", align_corners=False)
        return level
