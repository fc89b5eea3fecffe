"""Folder options: what folders hold, said outright, and what they were read as, printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from blemish._progress import printable
from blemish.errors import ConfigError

if TYPE_CHECKING:
    from blemish.data.layouts import Folders
    from blemish.data.sample import DataSet

Data = Annotated[
    str | None,
    typer.Argument(
        help="Folder of good images, a data set in any known layout, or a CSV list; with --good "
        "and the like it may be left out."
    ),
]
Good = Annotated[
    list[str] | None,
    typer.Option(
        help="Folder of good images: its path, or its name wherever it is; without DATA also "
        "PRODUCT=PATH. Repeatable."
    ),
]
Defects = Annotated[list[str] | None, typer.Option(help="Folder of defective images. Repeatable.")]
Masks = Annotated[
    list[str] | None,
    typer.Option(help="Folder of masks, named as their images. Repeatable."),
]
Test = Annotated[
    list[str] | None,
    typer.Option(
        help="Folder to test on: with a folder per kind in it, or also given as --good or "
        "--defects. Repeatable."
    ),
]


def data_source(
    data: str | None,
    good: list[str] | None,
    defects: list[str] | None,
    masks: list[str] | None,
    test: list[str] | None,
) -> str | Folders:
    """What was given as data: a path, or folders with their roles.

    Raises:
        ConfigError: Neither.
    """
    if good or defects or masks or test:
        from blemish.data.layouts import Folders

        return Folders(data, good or (), defects or (), masks or (), test or ())
    if data is None:
        raise ConfigError(
            "No data were given. Name a folder of good images or a data set, or say what folders "
            "hold: --good DIR --defects DIR --masks DIR --test DIR."
        )
    return data


def print_read_as(data_set: DataSet, stream: TextIO | None = None) -> None:
    """Say as what folders were read; on standard error where no stream is given."""
    from blemish.data.read_as import read_as

    for line in read_as(data_set):
        print(f"Read as {printable(line)}", file=stream or sys.stderr)
