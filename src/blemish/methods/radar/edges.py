"""Edges of a residual: Sobel's, and steps that go on in one direction."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.methods.radar.blocks import fold_pixels

#: Side of the blocks of pixels that the bank of long edges answers for at once.
_FOLD = 4


def sobel_magnitude(maps: Tensor) -> Tensor:
    """``√(G_x² + G_y²)`` of the Sobel operator, edges replicated as SciPy's ``nearest`` does.

    Sobel & Feldman, 1968; unnormalised: a step of height 1 gives 4.

    Shapes: ``(N, 1, H, W)`` → ``(N, 1, H, W)``.
    """
    smooth = maps.new_tensor([1.0, 2.0, 1.0])
    slope = maps.new_tensor([-1.0, 0.0, 1.0])
    kernels = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])[:, None]
    gradients = F.conv2d(F.pad(maps, (1, 1, 1, 1), mode="replicate"), kernels)  # (N, 2, H, W)
    return gradients.square().sum(1, keepdim=True).sqrt()


class LongEdges(nn.Module):
    """Sobel edges smoothed along themselves: steps that go on in one direction.

    The first derivative of an elongated Gaussian in several directions, the largest answer of each
    pixel; at half the size, which blurs by less than the Gaussian does. What is left of a texture
    in the residual averages out along a line, a crack does not.

    Args:
        across: Deviation of the Gaussian across the edge, pixels.
        along: Along the edge.
        directions: How many, over half a turn.

    Shapes: ``(N, 1, H, W)`` → ``(N, 1, H, W)``, H and W even.
    """

    bank: Tensor

    def __init__(self, across: float, along: float, directions: int) -> None:
        super().__init__()
        reach = math.ceil(1.5 * max(across, along))
        y, x = torch.meshgrid(*2 * [torch.arange(-reach, reach + 1.0)], indexing="ij")
        kernels = []
        for k in range(directions):
            turn = math.pi * k / directions
            u = x * math.cos(turn) + y * math.sin(turn)
            v = y * math.cos(turn) - x * math.sin(turn)
            kernel = v * torch.exp(-2 * (u / along) ** 2 - 2 * (v / across) ** 2)  # half the size
            kernels.append(kernel / kernel.abs().sum())
        self.reach = reach
        self.register_buffer("bank", _folded(torch.stack(kernels), _FOLD), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        half = F.avg_pool2d(maps, 2)
        height, width = half.shape[2:]
        # Blocks of pixels as channels: from one channel to eight a convolution is slow.
        beyond = _FOLD * (self.bank.shape[2] - 1) - self.reach
        down, across = (beyond + -side % _FOLD for side in (height, width))
        wide = F.pad(half, (self.reach, across, self.reach, down), mode="replicate")
        edges = F.conv2d(fold_pixels(wide, _FOLD), self.bank).abs()  # (N, K·16, h, w)
        edges = edges.unflatten(1, (-1, _FOLD**2)).amax(1)  # (N, 16, h, w)
        edges = F.pixel_shuffle(edges, _FOLD)[:, :, :height, :width]  # (N, 1, H/2, W/2)
        return F.interpolate(edges, scale_factor=2.0, mode="bilinear", align_corners=False)


def _folded(kernels: Tensor, side: int) -> Tensor:
    """Kernels over pixels ``(K, k, k)`` as kernels over blocks of ``side``² of them.

    ``(K·side², side², b, b)``: a pixel's answer within a block to a pixel's value within another.
    """
    count, length, _ = kernels.shape
    blocks = (length + 2 * (side - 1)) // side
    bank = kernels.new_zeros(count, side, side, side * blocks, side * blocks)
    for p in range(side):
        for q in range(side):
            bank[:, p, q, p : p + length, q : q + length] = kernels
    return fold_pixels(bank.view(-1, 1, side * blocks, side * blocks), side)
