"""Table of the speeds: for ``methods`` what they are, for ``fit`` what they cost here besides."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from blemish.detector import Detector
    from blemish.methods.settings import MethodConfig, Pass
    from blemish.methods.speeds import Speed

_FIGURES = ("image AUROC", "found at 5 %")


def print_speeds(config_class: type[MethodConfig]) -> None:
    """The points of a method's dial, and which one counts without a word."""
    table = _table("speed", "teacher", "input, at most about", *_FIGURES)
    for name, speed in config_class.speeds.items():
        mark = "default" if name == config_class.default_speed else ""
        table.add_row(name, teacher_cell(speed.teacher), f"{speed.side}²", *_figures(speed), mark)
    Console().print(table)
    if (measured := _measured(config_class.speeds)) is not None:
        print(f"{measured}.")


def print_speeds_here(
    detector: Detector, sizes: Sequence[tuple[int, int]], inputs_before: set[tuple[object, ...]]
) -> None:
    """The points for images of sizes ``(H, W)``, each with the time its teacher takes here.

    Nothing is printed where the dial is not used, where there is no teacher to time, or for inputs
    that are in ``inputs_before``, to which these are added.
    """
    from blemish.methods.input_choice import InputChoice
    from blemish.teachers.timing import time_teachers

    chosen, teacher = detector.speed, detector.teacher
    if chosen.name is None or "none" in (chosen.point.teacher, teacher):
        return
    if not isinstance(teacher, str):
        return
    twice = InputChoice(coarse=detector.input.coarse and detector.input.tile is None)
    speeds = dict(detector.config.speeds)
    configs = {name: twice.looks(detector.asked, speed) for name, speed in speeds.items()}
    inputs = {name: speed.input_size(configs[name], sizes) for name, speed in speeds.items()}
    mark = chosen.name
    if len(chosen.keeps) < 2:
        mark = "as given"
        speeds[mark], configs[mark] = (
            replace(_unmeasured(chosen.point), teacher=teacher),
            detector.config,
        )
        inputs[mark] = detector.input.named or inputs[chosen.name]
    if tuple(inputs.values()) in inputs_before:
        return
    inputs_before.add(tuple(inputs.values()))
    looks = {name: configs[name].passes(speeds[name].teacher, inputs[name]) for name in speeds}
    # What was measured was seen once.
    speeds = {
        name: speed if len(looks[name]) == 1 else _unmeasured(speed)
        for name, speed in speeds.items()
    }
    asked = list(dict.fromkeys(itertools.chain(*looks.values())))
    times, passes = time_teachers(asked)
    ms = dict(zip(asked, times, strict=True))
    table = _table("speed", "teacher", "input", "ms per picture", *_FIGURES)
    for name, speed in speeds.items():
        size = input_cell(looks[name])
        took = f"{sum(ms[look] for look in looks[name]):.0f}"
        word = "chosen" if name == mark else ""
        table.add_row(name, teacher_cell(speed.teacher), size, took, *_figures(speed), word)
    Console().print(table)
    timed = "ms per picture: teacher forward, eager, on this machine's CPU"
    print(f"{timed}, fastest of {passes}.")
    if (measured := _measured(speeds)) is not None:
        print(f"{measured}.")


def teacher_cell(name: str) -> str:
    """A teacher's name for a table; of joined ones each on a line, as figures stand beside them."""
    return name.replace("+", "\n+")


def input_cell(passes: Sequence[Pass]) -> str:
    """Sizes of the looks at a picture for a table, each on a line."""
    return "\n".join("×".join(map(str, size)) for _, size in passes)


def _table(*headings: str) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    for number, heading in enumerate((*headings, "")):
        right = 2 <= number < len(headings)
        table.add_column(heading, justify="right" if right else "left", no_wrap=number < 2)
    return table


def _unmeasured(speed: Speed) -> Speed:
    return replace(speed, image_auroc=None, found_at_5=None)


def _figures(speed: Speed) -> tuple[str, str]:
    auroc = "–" if speed.image_auroc is None else f"{speed.image_auroc:.3f}"
    return auroc, "–" if speed.found_at_5 is None else f"{100 * speed.found_at_5:.0f} %"


def _measured(speeds: Mapping[str, Speed]) -> str | None:
    from blemish.methods.speeds import MEASURED_ON

    if all(speed.image_auroc is None for speed in speeds.values()):
        return None
    return f"Image AUROC, and defects found at 5 % false alarms: {MEASURED_ON}"
