"""Edges of a map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sobel_magnitude(maps: Tensor) -> Tensor:
    """``√(G_x² + G_y²)`` of the Sobel operator, edges replicated as SciPy's ``nearest`` does.

    Sobel & Feldman, 1968; unnormalised: a step of height 1 gives 4.

    Shapes: ``(N, 1, H, W)`` → ``(N, 1, H, W)``.

    Example:
        >>> import torch
        >>> from blemish.methods.radar.sobel import sobel_magnitude
        >>> step = torch.zeros(1, 1, 5, 6)
        >>> step[..., 3:] = 1
        >>> sobel_magnitude(step)[0, 0, 2].tolist()
        [0.0, 0.0, 4.0, 4.0, 0.0, 0.0]
    """
    smooth = maps.new_tensor([1.0, 2.0, 1.0])
    slope = maps.new_tensor([-1.0, 0.0, 1.0])
    kernels = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])[:, None]
    gradients = F.conv2d(F.pad(maps, (1, 1, 1, 1), mode="replicate"), kernels)  # (N, 2, H, W)
    return gradients.square().sum(1, keepdim=True).sqrt()
