"""``blemish data``: look at a data set before training on it."""

from __future__ import annotations

from typing import Annotated

import typer

from blemish.cli.common import BitDepth, Layout, plain
from blemish.cli.folders import Data, Defects, Good, Masks, Test, data_source

data_app = typer.Typer(name="data", help="Look at data sets.", no_args_is_help=True)


@data_app.callback()
def _group() -> None:
    """Look at data sets."""


@data_app.command("describe")
def describe_data(
    path: Data = None,
    good: Good = None,
    defects: Defects = None,
    masks: Masks = None,
    test: Test = None,
    layout: Layout = "auto",
    bit_depth: BitDepth = 16,
    fast: Annotated[
        bool, typer.Option("--fast", help="Read headers only: truncated files go unnoticed.")
    ] = False,
) -> None:
    """Say what was recognised: layout, products, counts, kinds, masks, sizes, problems."""
    from rich.console import Console
    from rich.table import Table

    from blemish._progress import grouped as by_kind
    from blemish.data.describe import describe
    from blemish.data.grouping import grouped
    from blemish.data.read_as import read_as
    from blemish.data.sources import training_data

    source = data_source(path, good, defects, masks, test)
    data_set = training_data(source, layout=layout)
    description = describe(data_set, decode=not fast, bit_depth=bit_depth)
    console = Console()
    console.print(f"{description.root}: layout {description.layout}", markup=False)
    for line in read_as(data_set):
        console.print(f"Read as {line}", markup=False, highlight=False)
    for line in grouped([s for s in data_set.samples if s.split != "test"]).said:
        console.print(f"Learned as {line}", markup=False, highlight=False)
    table = Table(header_style="bold")
    for heading in ("product", "split", "kind", "images"):
        table.add_column(heading, justify="right" if heading == "images" else "left")
    summary = Table(header_style="bold")
    for heading in ("product", "sizes (H×W)", "modes", "with mask", "defects without mask"):
        summary.add_column(heading)
    for product in description.products:
        for split, kinds in product.counts.items():
            for kind, count in kinds.items():
                table.add_row(plain(product.name), split, plain(kind), str(count))
        sizes = "–"
        if product.smallest and product.largest:
            small, large = product.smallest, product.largest
            sizes = f"{small[0]}×{small[1]}"
            sizes += "" if small == large else f" … {large[0]}×{large[1]}"
        modes = ", ".join(f"{mode} {count}" for mode, count in product.modes.items())
        name = plain(product.name)
        summary.add_row(name, sizes, modes, str(product.masks), str(product.unmasked))
    console.print(table)
    console.print(summary)
    for problem in by_kind(description.problems):
        console.print(f"- {problem}", markup=False)
    if not description.problems:
        console.print("No problems found.")
