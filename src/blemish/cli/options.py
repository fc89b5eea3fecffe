"""Options that several verbs share, and how their text becomes values."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from blemish.errors import ConfigError, MissingExtraError

ModelFile = Annotated[Path, typer.Argument(help="Model file, as `blemish fit` writes it.")]
Layout = Annotated[
    str, typer.Option(help="Layout of the data; `auto` recognises it. See `blemish data describe`.")
]
FalseAlarmRate = Annotated[
    float, typer.Option(help="Share of good parts that may be called defective.")
]
UnsureRate = Annotated[
    float | None,
    typer.Option(
        help="Share of good parts that may be called at least unsure. Default: 5 × the rate above."
    ),
]
Histogram = Annotated[
    bool, typer.Option("--histogram", help="Pixel metrics in bounded memory, with a stated error.")
]
Compatibility = Annotated[
    str, typer.Option(help="none, or ader: pixel F1-max also as the framework ADer computes it.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")]


def need_training_packages(what: str) -> None:
    """Say which extra is missing before a long import fails half-way.

    Raises:
        MissingExtraError: torch or one of its companions is not installed.
    """
    for package in ("torch", "lightning", "safetensors", "scipy"):
        if find_spec(package) is None:
            raise MissingExtraError(what, "train")


def parse_size(text: str | None) -> int | tuple[int, int] | None:
    """``256`` → 256, ``256x512`` → height 256, width 512, nothing → ``None``.

    Raises:
        ConfigError: Anything else.
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--size {text}: expected a side such as 256, or HEIGHTxWIDTH.")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def parse_assignments(assignments: list[str] | None) -> dict[str, Any]:
    """``["steps=200"]`` → ``{"steps": "200"}``.

    Raises:
        ConfigError: An item without ``=``.
    """
    settings = {}
    for item in assignments or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item}: expected NAME=VALUE, such as --set steps=200.")
        settings[name.strip().replace("-", "_")] = value.strip()
    return settings
