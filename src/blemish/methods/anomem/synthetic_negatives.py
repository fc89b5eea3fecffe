"""Synthetic negatives: what is surely not normal, made from normal images or features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def random_boxes(like: Tensor, *, smallest: float, largest: float) -> Tensor:
    """One random rectangle per image, ``(N, 4)`` as left, top, right, bottom in 0..1.

    Args:
        like: ``(N, …)``: gives the number of images and the device.
        smallest, largest: Shares of the image's area.
    """
    n, device = len(like), like.device
    area = smallest + (largest - smallest) * torch.rand(n, device=device)
    aspect = torch.exp((2 * torch.rand(n, device=device) - 1) * 1.1)  # 1/3..3
    size = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], 1).clamp_max(0.95)
    corner = torch.rand(n, 2, device=device) * (1 - size)
    return torch.cat([corner, corner + size], 1)


def box_mask(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """1 where a position's centre lies in its image's box: ``(N, 4)`` → ``(N, 1, H, W)``.

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.synthetic_negatives import box_mask
        >>> box_mask(torch.tensor([[0.0, 0.0, 0.5, 1.0]]), (1, 4)).flatten().tolist()
        [1.0, 1.0, 0.0, 0.0]
    """
    height, width = size
    y = (torch.arange(height, device=boxes.device) + 0.5).view(1, -1, 1) / height
    x = (torch.arange(width, device=boxes.device) + 0.5).view(1, 1, -1) / width
    left, top, right, bottom = (boxes[:, i].view(-1, 1, 1) for i in range(4))
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return inside[:, None].float()


def _donors(maps: Tensor, shift: Tensor) -> Tensor:
    """The maps of the next image of the batch, moved by a share ``(2,)`` of their size."""
    rows, columns = (int(float(s) * side) for s, side in zip(shift, maps.shape[2:], strict=True))
    return maps.roll((rows, columns), (2, 3)).roll(1, 0)


def spoil_images(images: Tensor) -> tuple[Tensor, Tensor]:
    """Turn half of the images by 90, 180 or 270 degrees, and paste foreign patches into the rest.

    Args:
        images: ``(N, 3, H, W)``, 0..255.

    Returns:
        The spoilt images, and boxes ``(N, 4)`` around what is wrong: all of a turned image.

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.synthetic_negatives import spoil_images
        >>> spoilt, boxes = spoil_images(255 * torch.rand(4, 3, 32, 32))
        >>> tuple(spoilt.shape), tuple(boxes.shape)
        ((4, 3, 32, 32), (4, 4))
    """
    n = len(images)
    boxes = random_boxes(images, smallest=0.05, largest=0.3)
    mask = box_mask(boxes, (images.shape[2], images.shape[3]))
    donors = _donors(images, torch.rand(2))
    gain = 0.5 + torch.rand(n, 1, 1, 1, device=images.device)
    pasted = images + mask * ((donors * gain).clamp_max(255.0) - images)
    quarter = torch.randint(1, 4, (n,), device=images.device) * (torch.pi / 2)
    cos, sin, zero = quarter.cos(), quarter.sin(), torch.zeros(n, device=images.device)
    theta = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    turned = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    turn = torch.rand(n, device=images.device) < 0.5
    everything = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=images.device)
    return (
        torch.where(turn.view(-1, 1, 1, 1), turned, pasted),
        torch.where(turn.view(-1, 1), everything, boxes),
    )


def spoil_features(levels: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """Inside one box per image: noise on half of the images, features of another place on the rest.

    Args:
        levels: ``(N, C_l, H_l, W_l)`` with channels of unit deviation.

    Returns:
        The spoilt levels, and the boxes ``(N, 4)``, the same on all levels.

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.synthetic_negatives import spoil_features
        >>> spoilt, boxes = spoil_features([torch.randn(4, 6, 16, 16)])
        >>> tuple(spoilt[0].shape)
        (4, 6, 16, 16)
    """
    boxes = random_boxes(levels[0], smallest=0.005, largest=0.1)
    noisy = torch.rand(len(boxes), 1, 1, 1, device=boxes.device) < 0.5
    strength = 0.5 + 1.5 * torch.rand(len(boxes), 1, 1, 1, device=boxes.device)
    shift = torch.rand(2)
    spoilt = []
    for level in levels:
        mask = box_mask(boxes, (level.shape[2], level.shape[3]))
        wrong = torch.where(
            noisy, level + strength * torch.randn_like(level), _donors(level, shift)
        )
        spoilt.append(level + mask * (wrong - level))
    return spoilt, boxes
