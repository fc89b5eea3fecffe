"""Joined teachers: several frozen backbones as one, their levels side by side.

What one backbone takes for odd in a good picture, such as dust that looks like an edge, another
trained otherwise often does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from blemish.errors import ConfigError
from blemish.teachers.teacher import AND, Teacher


class JoinedTeacher(Teacher):
    """Teachers with levels at the same strides; a level has the channels of all of them.

    Args:
        teachers: Two or more, in the order of their channels.

    Raises:
        ConfigError: Fewer, or strides that differ.

    Example:
        >>> from blemish.teachers.joined import JoinedTeacher
        >>> from blemish.teachers.teacher import build_teacher
        >>> names = ("efficientnet_lite0", "efficientnet_lite2")
        >>> teacher = JoinedTeacher([build_teacher(name, weights="random") for name in names])
        >>> teacher.name, teacher.channels
        ('efficientnet_lite0+efficientnet_lite2', (48, 88, 232))
        >>> teacher.networks
        ((24, 40, 112), (24, 48, 120))
    """

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        name = AND.join(teacher.name for teacher in teachers)
        if len(teachers) < 2 or len({teacher.strides for teacher in teachers}) > 1:
            levels = "; ".join(f"{t.name!r} at {list(t.strides)}" for t in teachers)
            raise ConfigError(
                f"The teacher {name!r} joins levels at strides that differ, or nothing: {levels}. "
                "Name two or more with levels at the same strides, such as "
                "efficientnet_lite0+efficientnet_lite2."
            )
        sizes = {teacher.input_size for teacher in teachers} - {None}
        if len(sizes) > 1:
            raise ConfigError(f"The teacher {name!r} joins ones that take images of one size each.")
        super().__init__(
            name,
            _SideBySide(teachers),
            channels=tuple(map(sum, zip(*(t.channels for t in teachers), strict=True))),
            strides=teachers[0].strides,
            mean=(0.0,) * 3,  # each has its own
            std=(1 / 255,) * 3,
            pretrained=all(teacher.pretrained for teacher in teachers),
            input_size=next(iter(sizes), None),
        )
        self.networks = tuple(teacher.channels for teacher in teachers)

    @property
    def first(self) -> Teacher:
        return next(iter(self.trunk.children()))[0]  # type: ignore[index]


class _SideBySide(nn.Module):
    def __init__(self, teachers: Sequence[Teacher]) -> None:
        super().__init__()
        self.teachers = nn.ModuleList(teachers)

    def forward(self, images: Tensor) -> list[Tensor]:
        found = [teacher(images) for teacher in self.teachers]
        return [torch.cat(levels, 1) for levels in zip(*found, strict=True)]
