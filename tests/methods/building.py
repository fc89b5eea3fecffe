"""An untrained method by name, which every room's tests can build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blemish.methods.base import Method
from blemish.methods.radar.config import NetworkSize
from blemish.methods.registry import method_class
from blemish.methods.settings import parse_settings
from blemish.teachers.teacher import Teacher


def build_method(
    name: str, settings: Mapping[str, Any], teacher: Teacher, input_size: tuple[int, int]
) -> Method:
    """From values or text of its settings, for inputs of ``(H, W)``."""
    found = method_class(name)
    return found(parse_settings(found.config_class, settings), teacher, input_size)


#: RADAR's network made smaller still, for what hangs on no width.
TINY_RADAR = NetworkSize((8, 16), blocks=1, fold=2, patch=64)
#: Settings of a brief RADAR. It learns whole pictures, where the others learn a few features.
BRIEF_RADAR = {"patch": 32, "timestep": 150, "trees": 20}
