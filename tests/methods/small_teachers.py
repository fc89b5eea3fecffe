"""Small teachers with random weights: learned from and exported in a fraction of the time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from blemish.teachers import teacher as teachers
from blemish.teachers.teacher import Teacher, register_teacher

#: Channels and strides, by name.
TEACHERS = {
    "tiny-three": ((8, 12, 16), (4, 8, 16)),
    "tiny-one": ((10,), (8,)),
    "tiny-shallow": ((6, 8), (2, 4)),
    "tiny-equal": ((8, 8, 8), (8, 8, 8)),
}


class Trunk(nn.Module):
    """A convolution a level, with fixed statistics."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...]) -> None:
        super().__init__()
        widths, steps = pairwise((3, *channels)), pairwise((1, *strides))
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, stride=to // of, padding=1), nn.BatchNorm2d(b), nn.SiLU()
            )
            for (a, b), (of, to) in zip(widths, steps, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for level in self.levels:
            x = level(x)
            found.append(x)
        return found


def small_teacher(name: str) -> Teacher:
    """The same weights for a name, every time."""
    channels, strides = TEACHERS[name]
    with torch.random.fork_rng():
        torch.manual_seed(sum(name.encode()))
        trunk = Trunk(channels, strides)
    half = (0.5, 0.5, 0.5)
    return Teacher(
        name, trunk, channels=channels, strides=strides, mean=half, std=half, pretrained=True
    )


@contextlib.contextmanager
def known_by_name() -> Iterator[None]:
    """Meanwhile a detector can be asked for them."""
    for name in TEACHERS:
        register_teacher(name, lambda weights, name=name: small_teacher(name))
    yield
    for name in TEACHERS:
        del teachers._REGISTERED[name]
