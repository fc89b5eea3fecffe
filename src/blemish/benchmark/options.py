"""What a benchmark can be asked for, and the command that asks for it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from blemish._names import unknown_name_message
from blemish.benchmark.protocols import CLASS_PROTOCOLS, PROTOCOLS
from blemish.errors import ConfigError
from blemish.teachers.efficientnet_lite import NAMES
from blemish.teachers.teacher import DEFAULT_TEACHER


@dataclass(frozen=True)
class BenchmarkOptions:
    """What to measure.

    Attributes:
        methods: Names of the systems.
        data: Data sets, each ``PATH`` or ``NAME=PATH``; the name stands in the results.
        protocol: See :mod:`blemish.benchmark.protocols`.
        seeds: One model per seed and unit.
        settings: Settings of the methods; ``METHOD.NAME`` for one of them only.
        layout: Layout of the data.
        products: Categories to use; empty: all.
        classes, known, ratios: See :func:`blemish.benchmark.protocols.plan_units`.
        teacher, teacher_weights: As for :class:`blemish.Detector`.
        size: Input size, a side or ``(H, W)``; ``None`` follows the images.
        hold_out: Share of the good training images that calibrates where the data set has no
            validation images.
        false_alarm_rate: Of the operating point.
        histogram: Pixel metrics in bounded memory.
        device, precision: As for :meth:`blemish.Detector.fit`.
    """

    methods: tuple[str, ...]
    data: tuple[str, ...]
    protocol: str = "one_for_all"
    seeds: tuple[int, ...] = (0,)
    settings: tuple[tuple[str, str], ...] = ()
    layout: str = "auto"
    products: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    ratios: tuple[float, ...] = ()
    teacher: str = DEFAULT_TEACHER
    teacher_weights: str = "pretrained"
    size: int | tuple[int, int] | None = None
    hold_out: float = 0.2
    false_alarm_rate: float = 0.01
    histogram: bool = False
    device: str = "auto"
    precision: str = "32-true"


def check_options(options: BenchmarkOptions) -> None:
    """Find what no run could work with, before the first one starts.

    Raises:
        ConfigError: Naming the option, what it was and what is expected.

    Example:
        >>> from blemish.benchmark.options import BenchmarkOptions, check_options
        >>> check_options(BenchmarkOptions(("rd",), ("lids",)))
    """
    if options.protocol not in PROTOCOLS:
        raise ConfigError(unknown_name_message("protocol", options.protocol, PROTOCOLS))
    if options.teacher not in NAMES and not options.teacher.startswith("timm/"):
        known = (*NAMES, "timm/<backbone>")
        raise ConfigError(unknown_name_message("teacher", options.teacher, known))
    for what, values in (
        ("--method", options.methods),
        ("--data", options.data),
        ("--seeds", options.seeds),
    ):
        if not values:
            raise ConfigError(f"{what} names nothing. Give at least one, several with commas.")
        twice = [value for value in values if values.count(value) > 1]
        if twice:
            raise ConfigError(f"{what} names {twice[0]} twice; each counts once.")
    if any(seed < 0 for seed in options.seeds):
        raise ConfigError(f"--seeds {min(options.seeds)}: expected whole numbers from 0.")
    if not 0 <= options.hold_out < 1:
        raise ConfigError(f"--hold-out {options.hold_out:g}: expected a share in [0, 1).")
    if not 0 < options.false_alarm_rate <= 0.5:
        raise ConfigError(
            f"--false-alarm-rate {options.false_alarm_rate:g}: expected a share in (0, 0.5]."
        )
    if options.products and options.protocol in CLASS_PROTOCOLS:
        raise ConfigError(
            f"{options.protocol} tests on all classes: choose the normal ones with --classes, "
            "not --products."
        )
    for name, _ in options.settings:
        method, dot, _ = name.rpartition(".")
        if dot and method not in options.methods:
            raise ConfigError(unknown_name_message("method in --set", method, options.methods))


def named_data(data: Sequence[str]) -> list[tuple[str, str]]:
    """Name and path of each data set.

    Raises:
        ConfigError: Two of one name, or a name that could not be one of a folder.

    Example:
        >>> from blemish.benchmark.options import named_data
        >>> named_data(["line=some/where", "other/place"])
        [('line', 'some/where'), ('place', 'other/place')]
    """
    named = []
    for text in data:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = Path(text).resolve().name or "data", text
        named.append((name, path))
    names = [name for name, _ in named]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"Two data sets are called {name}. Name them: --data first=PATH,second=PATH."
            )
        if not name or "/" in name or "\\" in name:
            raise ConfigError(f"--data: {name!r} is no name. Expected PATH or NAME=PATH.")
    return named


def command_line(options: BenchmarkOptions, out: str) -> str:
    """The command that asks for this, with paths cut to their last part.

    Example:
        >>> from blemish.benchmark.options import BenchmarkOptions, command_line
        >>> command_line(BenchmarkOptions(("rd",), ("some/where/lids",), size=64), "runs/a")[18:]
        '--method rd --data lids --protocol one_for_all --seeds 0 --size 64 --out a'
    """
    data = []
    for name, path in named_data(options.data):
        last = Path(path).name or name
        data.append(last if last == name else f"{name}={last}")
    words = ["--method", ",".join(options.methods), "--data", ",".join(data)]
    words += ["--protocol", options.protocol, "--seeds", ",".join(map(str, options.seeds))]
    for name, value in options.settings:
        words += ["--set", f"{name}={value}"]
    defaults = BenchmarkOptions((), ())
    weights = Path(options.teacher_weights).name
    for flag, value, default in (
        ("--layout", options.layout, defaults.layout),
        ("--products", ",".join(options.products), ""),
        ("--classes", ",".join(options.classes), ""),
        ("--known", ",".join(options.known), ""),
        ("--ratios", ",".join(f"{ratio:g}" for ratio in options.ratios), ""),
        ("--teacher", options.teacher, defaults.teacher),
        ("--teacher-weights", weights, defaults.teacher_weights),
        ("--size", _size_text(options.size), ""),
        ("--hold-out", f"{options.hold_out:g}", f"{defaults.hold_out:g}"),
        ("--false-alarm-rate", f"{options.false_alarm_rate:g}", f"{defaults.false_alarm_rate:g}"),
        ("--device", options.device, defaults.device),
        ("--precision", options.precision, defaults.precision),
    ):
        if value != default:
            words += [flag, value]
    words += ["--histogram"] * options.histogram
    return shlex.join(["blemish", "benchmark", *words, "--out", Path(out).resolve().name])


def _size_text(size: int | tuple[int, int] | None) -> str:
    if size is None:
        return ""
    return str(size) if isinstance(size, int) else f"{size[0]}x{size[1]}"
