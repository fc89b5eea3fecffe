"""A BoRAD of small pictures, new or as after training, and a batch for it."""

from __future__ import annotations

import torch

from blemish.methods.base import Batch
from blemish.methods.borad.config import BoRADConfig
from blemish.methods.borad.model import BoRAD
from blemish.methods.rd.model import RD
from blemish.teachers.teacher import build_teacher

SIZE = (64, 96)


def build(size: tuple[int, int] = SIZE, **settings: object) -> BoRAD:
    torch.manual_seed(0)
    return BoRAD(BoRADConfig(**settings), build_teacher(), size)  # type: ignore[arg-type]


def awake(method: BoRAD) -> BoRAD:
    """With projections that do something, as after training; new ones are added times zero."""
    with torch.no_grad():
        for projection in method.projection.projections:
            if projection.scale is not None:
                projection.scale.fill_(1.0)
    return method


def batch_of(method: RD, count: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(
        0, 256, (count, 3, *method.input_size), dtype=torch.uint8, generator=generator
    )
    return Batch(features=tuple(method.teacher(images)))
