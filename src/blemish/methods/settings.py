"""Settings of a method: a frozen dataclass whose annotations are read, converted and checked.

The annotation of a field gives its type, a :class:`Range` in it the values that make sense, and
the comment behind the field, or above it, says what it is. The values of a command line or a model
file, error messages and ``blemish methods NAME`` all come from these three, each written once.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Union, get_args, get_origin
from typing import get_type_hints as _type_hints

from blemish._names import nearest_hint, unknown_name_message
from blemish.errors import ConfigError
from blemish.methods.speeds import SPEEDS, Speed


@dataclass(frozen=True)
class Range:
    """Interval that a number of the settings lies in; used in ``Annotated``.

    Args:
        low, high: Its ends, which belong to it unless ``above`` or ``below`` is set.
        above, below: ``low`` itself, or ``high`` itself, is outside.
        multiple_of: Only multiples of it, where given.

    Example:
        >>> from blemish.methods.settings import Range
        >>> 0.5 in Range(0, 1, above=True), 0 in Range(0, 1, above=True), str(Range(1))
        (True, False, 'from 1')
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    multiple_of: int = 0

    def __contains__(self, value: float) -> bool:
        return (
            (self.low < value if self.above else self.low <= value)
            and (value < self.high if self.below else value <= self.high)
            and not (self.multiple_of and value % self.multiple_of)
        )

    def __str__(self) -> str:
        if self.multiple_of:
            return f"from {self.low:g} in steps of {self.multiple_of}"
        if math.isinf(self.high):
            return f"{'above' if self.above else 'from'} {self.low:g}"
        if self.above or self.below:
            return f"in {'(['[not self.above]}{self.low:g}, {self.high:g}{')]'[not self.below]}"
        return f"from {self.low:g} to {self.high:g}"


#: Name of a teacher, and ``(H, W)`` of what it is given.
Pass = tuple[str, tuple[int, int]]
Presets = Mapping[str, Mapping[str, object]]
Count = Annotated[int, Range(1)]
Positive = Annotated[float, Range(0, above=True)]
NotNegative = Annotated[float, Range(0)]
#: Above 0 and at most 1.
Share = Annotated[float, Range(0, 1, above=True)]


@dataclass(frozen=True)
class MethodConfig:
    """Settings common to all systems; each system's own config extends it.

    Values may be given as text; every one is converted to its annotation's type and checked.

    Raises:
        ConfigError: On a value of another type or outside its range, naming the field.

    Example:
        >>> from blemish.methods.settings import MethodConfig
        >>> MethodConfig().input_side(2000)
        256
    """

    #: Named sets of settings. Every system has ``light``, its defaults; ``paper`` is what the
    #: paper states, as far as the settings can say it.
    presets: ClassVar[Presets] = {"light": {}}
    #: Teacher and input that a preset brings along, by its name; others that are named win.
    preset_inputs: ClassVar[Mapping[str, Speed]] = {}
    #: Points of the dial between speed and power.
    speeds: ClassVar[Mapping[str, Speed]] = SPEEDS
    #: The point that counts where none is named; ``None``: none, but the papers' protocol.
    default_speed: ClassVar[str | None] = None
    #: Whether the method can be :meth:`looking_twice`.
    can_look_twice: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():
            given = getattr(self, name)
            try:
                object.__setattr__(self, name, _read(given, hint))  # frozen
            except ValueError:
                default = type(self).__dataclass_fields__[name].default
                raise ConfigError(_refusal(name, given, hint, default)) from None

    @property
    def variant(self) -> str:
        """What stands beside the name in tables where this is not the published system at all."""
        return ""

    @property
    def looks_twice(self) -> bool:
        """Whether the input is as large as a close look wants it, and shrunk for another."""
        return False

    def looking_twice(self, side: int) -> MethodConfig:
        """The same settings with a look at the whole, of ``side``² pixels, beside a close one.

        Raises:
            ConfigError: The method cannot.
        """
        raise ConfigError(
            "coarse=True without tiles asks for a second look at whole pictures, which the trio "
            "alone can take. Give a tile's side too, such as 256, or auto."
        )

    def passes(self, teacher: str, input_size: tuple[int, int]) -> list[Pass]:
        """Teacher and size of each look that is taken at an input."""
        return [(teacher, input_size)]

    def settled(self, sizes: Sequence[tuple[int, int]]) -> MethodConfig:
        """The settings with what follows the images decided: what the model file holds.

        ``sizes`` are ``(H, W)`` of the good training images at hand.
        """
        return self

    def input_side(self, longest: int, most: int = 256) -> int:
        """Side of the square input, up to ``most``, for images of ``longest`` pixels at most.

        Small images are doubled: a teacher knows nothing smaller than 64 pixels.
        """
        return min(most, max(64, -(-longest // 16) * 32))

    def to_json(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class TrainedConfig(MethodConfig):
    """Settings common to the systems that are trained step by step.

    Example:
        >>> from blemish.methods.settings import TrainedConfig
        >>> TrainedConfig(steps=20).batch_size
        16
    """

    steps: Count = 2000  # optimiser steps of the main stage
    batch_size: Count = 16  # images per step


def parse_settings(
    config_class: type[MethodConfig], settings: Mapping[str, Any], *, preset: str = "light"
) -> MethodConfig:
    """Build a config from names and values, given as values or as text from a command line.

    They win over those of the ``preset``, one of the config's ``presets``.

    Raises:
        ConfigError: An unknown preset or name (with the nearest known one), or a value that the
            setting cannot take.

    Example:
        >>> from blemish.methods.settings import TrainedConfig, parse_settings
        >>> parse_settings(TrainedConfig, {"steps": "20"}).to_json()
        {'steps': 20, 'batch_size': 16}
    """
    if preset not in config_class.presets:
        raise ConfigError(unknown_name_message("preset", preset, config_class.presets))
    start = dict(config_class.presets[preset])
    if "steps" in settings:
        start.pop("epochs", None)  # the length that is asked for wins over the preset's
    values, known = {**start, **settings}, _hints(config_class)
    for name in values:
        if name not in known:
            raise ConfigError(unknown_name_message("setting", name, known))
    return config_class(**values)


class Setting(NamedTuple):
    """What ``blemish methods NAME`` says of one setting."""

    name: str
    takes: str  # its type and range in words
    default: Any
    help: str  # the comment behind the field; empty where the source is not at hand


def describe_settings(config_class: type[MethodConfig]) -> list[Setting]:
    """All settings of a method, in their order.

    Example:
        >>> from blemish.methods.settings import TrainedConfig, describe_settings
        >>> [(setting.name, setting.takes) for setting in describe_settings(TrainedConfig)][:1]
        [('steps', 'whole number from 1')]
    """
    comments, known = _comments(config_class), config_class.__dataclass_fields__
    return [
        Setting(name, _words(hint), known[name].default, comments.get(name, ""))
        for name, hint in _hints(config_class).items()
    ]


def _hints(config_class: type[MethodConfig]) -> dict[str, Any]:
    hints = _type_hints(config_class, include_extras=True)
    return {field.name: hints[field.name] for field in fields(config_class)}


def _comments(config_class: type) -> dict[str, str]:
    """The comment behind each field or above it, its own and inherited ones."""
    found: dict[str, str] = {}
    for owner in reversed(config_class.__mro__[:-1]):
        try:
            source = textwrap.dedent(inspect.getsource(owner))
        except (OSError, TypeError):
            continue
        name, above = "", ""
        for line in source.splitlines():
            if re.match(r" {4}\S", line):
                field = re.match(r" {4}(\w+)\s*:", line)
                name = field[1] if field else ""
                if name and above:
                    found[name] = above
                note = re.match(r" {4}# (.+)$", line)
                above = f"{above} {note[1]}".strip() if note else ""
            # A directive to a checker is no help.
            if name and (comment := re.search(r"  # (?!type:|noqa)(.+)$", line)):
                found[name], name = comment[1], ""
    return found


_SWITCH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_NAMES = {int: "whole number", float: "number", bool: "true or false", str: "text"}


def _read(value: Any, hint: Any) -> Any:
    """``value``, or the text of one, as the annotation ``hint`` has it; else a ValueError."""
    arguments, is_text = get_args(hint), isinstance(value, str)
    kind = get_origin(hint) or hint
    if kind is Annotated:
        value = _read(value, arguments[0])
        if all(value in limit for limit in arguments[1:] if isinstance(limit, Range)):
            return value
    elif kind in (Union, UnionType):
        # None first: its text is also one that `str` would take.
        for one in sorted(arguments, key=lambda arm: arm is not NoneType):
            with contextlib.suppress(ValueError):
                return _read(value, one)
    elif kind is Literal:
        for choice in arguments:
            if (type(value) is type(choice) and value == choice) or value == str(choice):
                return choice
    elif kind is NoneType:
        if value is None or (is_text and value.strip().lower() == "none"):
            return None
    elif kind is tuple:
        parts = value.split(",") if is_text else value
        if isinstance(parts, list | tuple) and parts:
            own = arguments[:1] * len(parts) if arguments[-1] is Ellipsis else arguments
            return tuple(_read(part, one) for part, one in zip(parts, own, strict=True))
    elif kind is bool and is_text:
        if value.strip().lower() in _SWITCH:
            return _SWITCH[value.strip().lower()]
    elif (kind in (int, float) and is_text) or (kind is float and type(value) is int):
        with contextlib.suppress(OverflowError):
            number = kind(value)
            if math.isfinite(number):
                return number
    elif kind is float and isinstance(value, float) and math.isfinite(value):
        return float(value)  # NumPy's is one too
    elif type(value) is kind and kind is not float:
        return value
    raise ValueError


def _words(hint: Any) -> str:
    """What the annotation takes, as the end of a sentence that begins "expected"."""
    arguments = get_args(hint)
    kind = get_origin(hint) or hint
    if kind is Annotated:
        return " ".join([_words(arguments[0]), *map(str, arguments[1:])])
    if kind in (Union, UnionType):
        return " or ".join(map(_words, sorted(arguments, key=lambda arm: arm is NoneType)))
    if kind is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if kind is tuple and (arguments[-1] is Ellipsis or len(set(arguments)) == 1):
        each = _words(arguments[0]).replace("number", "numbers", 1)
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        return f"{count}{each} separated by commas"
    if kind is tuple:
        return " and ".join(map(_words, arguments)) + ", a comma between"
    return "none" if kind is NoneType else _NAMES.get(kind, getattr(kind, "__name__", str(kind)))


def _refusal(name: str, given: object, hint: Any, default: Any) -> str:
    """The message for a value that a setting cannot take."""
    words = _words(hint)
    article = "a " if re.match(r"(whole )?number\b", words) else ""
    arms = (hint, *get_args(hint))
    choices = [str(one) for arm in arms if get_origin(arm) is Literal for one in get_args(arm)]
    example = ""
    if not choices and default is not MISSING and default is not None and hint is not bool:
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        example = f", such as {shown}"
    hint_at = nearest_hint(str(given), choices)
    return f"{name}={given!r}: expected {article}{words}{example}.{hint_at}"
