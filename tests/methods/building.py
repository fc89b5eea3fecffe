"""An untrained method by name, which every room's tests can build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from blemish.methods.base import Method
from blemish.methods.radar.config import NetworkSize
from blemish.methods.radar.model import RADAR
from blemish.methods.registry import method_class
from blemish.methods.settings import parse_settings
from blemish.teachers.teacher import NoTeacher, Teacher


def build_method(
    name: str, settings: Mapping[str, Any], teacher: Teacher, input_size: tuple[int, int]
) -> Method:
    """From values or text of its settings, for inputs of ``(H, W)``."""
    found = method_class(name)
    return found(parse_settings(found.config_class, settings), teacher, input_size)


#: RADAR's network made smaller still, for what hangs on no width: each kind of block, few of each.
TINY_RADAR = NetworkSize((8, 16), blocks=0, fold=2, patch=64)
#: Settings of a brief RADAR. It learns whole pictures, where the others learn a few features.
BRIEF_RADAR = {"patch": 32, "timestep": 150, "trees": 20}


def radar(size: tuple[int, int], **settings: object) -> RADAR:
    """As if trained: its weights are random but for a head that says something."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = build_method("radar", {"trees": 20, **settings}, NoTeacher(), size)
        assert isinstance(method, RADAR)
        nn.init.normal_(method.average.head.weight, std=0.05)
    return method.eval()
