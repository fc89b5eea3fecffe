"""The published systems, one file each, and the table that names them."""

from __future__ import annotations

from typing import Any

from blemish._names import unknown_name_message
from blemish.errors import ConfigError
from blemish.methods.anomem.model import AnoMem
from blemish.methods.base import Method, parse_settings
from blemish.methods.borad.model import BoRAD
from blemish.methods.hfr.model import HFR
from blemish.methods.logicrd.model import LogicRD
from blemish.methods.radar.model import RADAR
from blemish.methods.rd.model import RD
from blemish.teachers.teacher import Teacher

#: Every system by name. A method is added here and is then known to the API, the command line,
#: the benchmark and the contract test.
METHODS: dict[str, type[Method]] = {
    "rd": RD,
    "hfr": HFR,
    "anomem": AnoMem,
    "radar": RADAR,
    "borad": BoRAD,
    "logicrd": LogicRD,
}


def method_class(name: str) -> type[Method]:
    """The class of a method by name.

    Raises:
        ConfigError: Unknown name; the message lists the known ones and the nearest.

    Example:
        >>> from blemish.methods.registry import method_class
        >>> method_class("rd").__name__
        'RD'
    """
    if name not in METHODS:
        raise ConfigError(unknown_name_message("method", name, METHODS))
    return METHODS[name]


def build_method(
    name: str, settings: dict[str, Any], teacher: Teacher, input_size: tuple[int, int]
) -> Method:
    """Build an untrained method.

    Args:
        name: A name of :data:`METHODS`.
        settings: Values of the method's config, as values or as text.
        teacher: Frozen backbone.
        input_size: ``(H, W)``, multiples of 32.

    Example:
        >>> from blemish.methods.registry import build_method
        >>> from blemish.teachers.teacher import build_teacher
        >>> teacher = build_teacher(weights="random")
        >>> build_method("rd", {"steps": "5"}, teacher, (64, 64)).config.steps
        5
    """
    found = method_class(name)
    return found(parse_settings(found.config_class, settings), teacher, input_size)
