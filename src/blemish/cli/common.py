"""Verbs' common words: the options that several share, and what several print."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from blemish._progress import printable
from blemish.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from blemish.evaluation.evaluator import Evaluation

Number = TypeVar("Number", int, float)
ModelFile = Annotated[Path, typer.Argument(help="Model file, as `blemish fit` writes it.")]
Preset = Annotated[
    str, typer.Option(help="Settings to start from: light, or paper for what the paper states.")
]
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
Group = Annotated[
    str,
    typer.Option(
        help="Images of one part, strip or lot, which never train and calibrate both: a regular "
        "expression for their names ('kos[0-9]+'), a table *.csv with the columns image and group, "
        "auto (a guess from names and folders, which is said) or none."
    ),
]
Histogram = Annotated[
    bool, typer.Option("--histogram", help="Pixel metrics in bounded memory, with a stated error.")
]
Compatibility = Annotated[
    str, typer.Option(help="none, or ader: pixel F1-max also as the framework ADer computes it.")
]
BitDepth = Annotated[int, typer.Option(help="Bits used in 16-bit images: 10, 12, 14, 16.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Provider = Annotated[
    str,
    typer.Option(
        help="Where an exported model runs: auto, cpu, cuda, tensorrt, directml or openvino."
    ),
]
Address = Annotated[
    str, typer.Option(help="--engine ray: auto, HOST:PORT, or local for a cluster that ends again.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="--engine ray: processes; default: one per processor.")
]
Devices = Annotated[
    int,
    typer.Option(
        help="Processes that share each step, each with a GPU or its share of the cores. The batch "
        "and the learning rate stay the method's."
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="Of the steps: 32-true, bf16-mixed, 64-true, or auto: mixed where the device has it."
    ),
]
Logger = Annotated[
    list[str] | None,
    typer.Option(help="tensorboard:DIR or mlflow:URI, beside the CSV. Repeatable."),
]
Nodes = Annotated[
    int, typer.Option(help="Machines of so many devices, started by torchrun or SLURM.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")]


def need_training_packages(what: str) -> None:
    """Say which extra is missing before a long import fails half-way.

    Raises:
        MissingExtraError: torch or one of its companions is not installed.
    """
    for package in ("torch", "lightning", "safetensors", "scipy", "jinja2"):
        if find_spec(package) is None:
            raise MissingExtraError(what, "train")


def check_engine(engine: str) -> None:
    """Raise a :class:`ConfigError` for an engine that is none."""
    if engine not in ("plain", "ray"):
        from blemish._names import unknown_name_message

        raise ConfigError(unknown_name_message("engine", engine, ["plain", "ray"]))


def parse_size(text: str | None, option: str = "--size") -> int | tuple[int, int] | None:
    """``256`` → 256, ``256x512`` → height 256, width 512, nothing → ``None``.

    Raises:
        ConfigError: Anything else.
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        auto = ", or auto" if option == "--tile" else ""
        raise ConfigError(f"{option} {text}: expected a side such as 256, or HEIGHTxWIDTH{auto}.")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def parse_assignments(assignments: list[str] | None) -> dict[str, Any]:
    """``["sigma=2"]`` → ``{"sigma": "2"}``.

    Raises:
        ConfigError: An item without ``=``.
    """
    settings = {}
    for item in assignments or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item}: expected NAME=VALUE, such as --set sigma=2.")
        settings[name.strip().replace("-", "_")] = value.strip()
    return settings


def names(text: str) -> tuple[str, ...]:
    """``"a, b"`` → ``("a", "b")``."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def numbers(flag: str, text: str, kind: type[Number]) -> tuple[Number, ...]:
    """``"0,1"`` → ``(0, 1)``.

    Raises:
        ConfigError: Something that is no number; ``flag`` names the option.
    """
    try:
        return tuple(kind(item) for item in names(text))
    except ValueError:
        example = "0,1,2" if kind is int else "0,0.05,0.1"
        raise ConfigError(f"{flag} {text}: expected numbers, such as {example}.") from None


def write_text(target: Path, text: str) -> None:
    """Write a text whole or not at all; to standard output where the target is ``-``."""
    if str(target) == "-":
        print(text)
        return
    from blemish._files import atomic_write

    with atomic_write(target) as file:
        file.write(text.encode())


def figure(value: float, bound: float | None = None) -> str:
    """A fraction with three decimals and, where binned, its error; n/a where it cannot be given."""
    if not math.isfinite(value):
        return "n/a"
    if bound is None:
        return f"{value:.3f}"
    from blemish.metrics.bounds import bound_text

    return f"{value:.3f} ± {bound_text(bound)}"


def plain(text: str) -> Text:
    """A name that somebody else chose, for a table: never markup, though it may be ``[red]``."""
    from rich.text import Text

    return Text(printable(text))


def metrics_table(evaluation: Evaluation, columns: Mapping[str, str]) -> Table:
    """Metrics by product, with the mean below; ``columns`` are headings by name of the metric."""
    from rich.table import Table

    table = Table(header_style="bold")
    table.add_column("product")
    table.add_column("good", justify="right")
    table.add_column("defective", justify="right")
    for heading in columns.values():
        table.add_column(heading, justify="right")

    def figures(metrics: Mapping[str, float], bounds: Mapping[str, float]) -> list[str]:
        return [figure(metrics.get(name, math.nan), bounds.get(name)) for name in columns]

    for result in evaluation.products:
        values = figures(result.metrics, result.error_bounds)
        table.add_row(plain(result.product), str(result.good), str(result.defective), *values)
    if len(evaluation.products) > 1:
        table.add_section()
        means = figures(evaluation.mean, evaluation.error_bounds)
        table.add_row("mean", "", "", *means, style="bold")
    return table
