"""Reservoir sample: good pictures of each product that the trio is fitted on, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from blemish.methods.trio.usual import Moments

#: In place of a position: a copy of a picture, which has no score of its own.
COPY = -1
#: Pictures that the teacher is given at a time on a CPU.
TOGETHER = 2


class ProductPictures(NamedTuple):
    """Good pictures of one product: features ``(n, D, h, w)`` float16 and where they are from."""

    features: Tensor
    image: Tensor  # (n,) position among all pictures; COPY of one that was turned
    part: Tensor  # (n,) number of the part that it shows
    moments: Moments  # (D,) of the levels' channels
    product: str = ""
    whole: bool = True  # rather than tiles
    pixels: tuple[Callable[[], Tensor], ...] = ()  # each reads a picture (3, H, W) again, or none


_Input = tuple[Tensor, tuple[int, int], Callable[[], Tensor] | None]


class KeptPictures:
    """Good pictures of one product as they come: features of a sample, moments of all.

    A picture is kept with all its tiles, or with none.
    """

    def __init__(self, most: int, generator: torch.Generator) -> None:
        self.most, self.generator = most, generator
        self.kept: list[list[_Input]] = []  # of each picture its inputs
        self.seen = self._inputs = 0
        self._sums: Tensor | float = 0.0
        self._last: int | None = None  # picture, and its inputs
        self._own: list[_Input] = []

    def add(
        self,
        features: Tensor,
        levels: list[Tensor],
        where: tuple[int, int],
        picture: int,
        pixels: Callable[[], Tensor] | None = None,
    ) -> None:
        """Take in one input; ``where`` is its position among all, and its part's number.

        ``pixels`` reads it again.
        """
        flat = [level.double().flatten(1) for level in levels]  # (C_l, H_l·W_l)
        self._sums = self._sums + torch.stack(
            [torch.cat([f.mean(1) for f in flat]), torch.cat([f.square().mean(1) for f in flat])]
        )
        self._inputs += 1
        if picture != self._last:
            self._last = picture
            # Reservoir sampling (Vitter, 1985): each picture is as likely to be kept.
            at = self.seen
            if at >= self.most:
                at = int(torch.randint(self.seen + 1, (), generator=self.generator))
            self.seen += 1
            self._own = []
            if at < self.most:  # the next place of a list that is not full, or one of its own
                self.kept[at : at + 1] = [self._own]
        self._own.append((features, where, pixels))

    def group(self) -> ProductPictures:
        mean, square = torch.as_tensor(self._sums) / self._inputs
        scale = (square - mean.square()).clamp_min(0).sqrt()
        kept = [one for inputs in self.kept for one in inputs]
        features = torch.stack([features for features, _, _ in kept])
        image, part = torch.tensor([where for _, where, _ in kept], device=features.device).T
        part = part.unique(return_inverse=True)[1]  # from 0
        moments = Moments(mean.float(), scale.float())
        pixels = tuple(read for _, _, read in kept if read is not None)
        return ProductPictures(features, image, part, moments, pixels=pixels)
