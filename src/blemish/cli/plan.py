"""``blemish plan``: what each way of seeing the pictures means and costs, before any training."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from blemish.cli.common import Layout, need_training_packages
from blemish.cli.folders import Data, Defects, Good, Masks, Test, data_source, print_read_as
from blemish.cli.speed_table import input_cell, teacher_cell

if TYPE_CHECKING:
    from blemish.training.input_plan import Seen

_SIZES = 4  # sizes of pictures that are listed


def plan(
    data: Data = None,
    good: Good = None,
    defects: Defects = None,
    masks: Masks = None,
    test: Test = None,
    method: Annotated[str, typer.Option("--method", "-m", help="Name of the system.")] = "trio",
    speed: Annotated[str | None, typer.Option(help="As for `blemish fit`.")] = None,
    layout: Layout = "auto",
) -> None:
    """Say how large a small defect will be to the network, by input size and tiles, and the time.

    Nothing is trained, and of the pictures little more than headers is read. Times are those of
    this machine: of the teacher for a picture, and of the whole training.
    """
    need_training_packages("Planning")
    from rich.console import Console
    from rich.table import Table

    from blemish.data.sources import good_training_samples, training_data
    from blemish.detector import Detector
    from blemish.training.input_plan import DEFECT, other_ways, seen_by, timed
    from blemish.training.plan import foreseen

    data_set = training_data(data_source(data, good, defects, masks, test), layout=layout)
    print_read_as(data_set)
    good_ones, sizes = good_training_samples(data_set, [])
    detector = Detector(method, speed=speed)
    chosen = seen_by(detector, sizes)
    counts = Counter(sizes).most_common()
    listed = ", ".join(f"{h}×{w} ({n})" for (h, w), n in counts[:_SIZES])
    more = f" and {len(counts) - _SIZES} more sizes" if len(counts) > _SIZES else ""
    print(f"Good training pictures by size: {listed}{more}.")
    print(chosen.sentence())
    ways, passes = timed([chosen, *other_ways(detector, sizes)])
    table = Table(header_style="bold", box=None, pad_edge=False)
    for heading in ("ask for", "teacher", "input"):
        table.add_column(heading, no_wrap=True)
    for heading in ("inputs", f"{DEFECT} px", "ms", "times"):
        table.add_column(heading, justify="right")
    for way in ways:
        table.add_row(*_cells(way, ways[0], DEFECT))
    Console().print(table)
    if passes:
        print(
            f"{DEFECT} px: what is left of a defect of so many pixels. ms: the teacher's passes "
            f"for a picture, eager, on this machine's CPU (fastest of {passes} on its smallest "
            "input, and in proportion)."
        )
    print(foreseen(detector, good_ones, sizes))


def _cells(way: Seen, chosen: Seen, defect: int) -> list[str]:
    times = way.pixels / chosen.pixels
    if way.ms is not None and chosen.ms:
        times = way.ms / chosen.ms
    return [
        way.flags or "(default)",
        teacher_cell(way.teacher),
        input_cell(way.passes),
        str(way.inputs),
        f"{defect * way.scale:.3g}",
        "–" if way.ms is None else f"{way.ms:.0f}",
        f"{times:.1f}",
    ]
