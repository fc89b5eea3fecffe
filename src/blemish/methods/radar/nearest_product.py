"""Nearest centroid: which of the products that a model has learned a picture is most like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.nn.picture_groups import GroupBuffers

#: Cells along each side over which a picture is averaged, and scales of its edges.
_CELLS, _SCALES = 4, 4
#: Deviation of what never varies in good pictures: half a grey level of 256, in −1..1.
_LEAST = 1 / 256


def product_code(images: Tensor) -> Tensor:
    """Colour and edges of a picture in sixteen cells: what tells surfaces apart without a teacher.

    Mean colour, and mean size of the steps from pixel to pixel across and down, of the picture as
    it is and halved once, twice and three times. Colour alone takes one picture in twelve of two
    grey surfaces for the other.

    Shapes: pictures ``(N, 3, H, W)`` in −1..1 → ``(N, 176)``; H and W multiples of 32.
    """
    values, grey = [_by_cell(images)], images.mean(1, keepdim=True)
    for scale in range(_SCALES):
        grey = F.avg_pool2d(grey, 2) if scale else grey
        across, down = grey.diff(dim=3).abs(), grey.diff(dim=2).abs()
        values += [_by_cell(F.pad(across, (0, 1))), _by_cell(F.pad(down, (0, 0, 0, 1)))]
    return torch.cat(values, 1)


def _by_cell(images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    return F.avg_pool2d(images, (height // _CELLS, width // _CELLS)).flatten(1)


class NearestProduct(GroupBuffers):
    """Group that judges a picture: that of the product with the nearest mean :func:`product_code`.

    Distances are in deviations of good pictures from their product's mean. Every picture is of
    some product: these distances do not tell a picture that is of none.

    Shapes: pictures ``(N, 3, H, W)`` in −1..1 → groups ``(N,)`` int64.
    """

    centre: Tensor  # (P, D)
    deviation: Tensor  # (1, D)
    group: Tensor  # (P,), that judges each product

    def __init__(self) -> None:
        super().__init__()
        dimensions = _CELLS**2 * (3 + 2 * _SCALES)
        self.register_buffer("centre", torch.zeros(1, dimensions))
        self.register_buffer("deviation", torch.ones(1, dimensions))
        self.register_buffer("group", torch.zeros(1, dtype=torch.long))

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        for name, buffer in self.named_buffers():  # earlier files have one group, of everything
            state_dict.setdefault(prefix + name, buffer[:1])
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def fit(self, products: Sequence[Tensor], groups: Sequence[int]) -> None:
        """Take the means of the codes ``(n, D)`` of every product, and which group judges it."""
        self.centre = torch.stack([codes.mean(0) for codes in products])
        apart = torch.cat([codes - codes.mean(0) for codes in products])
        self.deviation = apart.square().mean(0, keepdim=True).sqrt().clamp_min(_LEAST)
        self.group = torch.tensor(groups, device=self.centre.device)

    def forward(self, images: Tensor) -> Tensor:
        if len(self.group) == 1:  # without looking
            return self.group.expand(images.shape[0])
        apart = (product_code(images)[:, None] - self.centre) / self.deviation  # (N, P, D)
        return self.group.index_select(0, apart.square().sum(2).argmin(1))
