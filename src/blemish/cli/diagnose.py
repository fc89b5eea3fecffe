"""``blemish diagnose``: why a model finds or misses, measured with planted anomalies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blemish._progress import print_failures, print_notes
from blemish.cli.common import (
    Device,
    Layout,
    ModelFile,
    Quiet,
    figure,
    need_training_packages,
    plain,
    write_text,
)

if TYPE_CHECKING:
    from rich.table import Table

    from blemish.evaluation.diagnosis import Diagnosis
    from blemish.evaluation.diagnostic_measures import Leakage, Separability, Separation


def diagnose(
    model: ModelFile,
    data: Annotated[str, typer.Argument(help="A data set with good images.")],
    json: Annotated[
        Path | None, typer.Option(help="Write all figures as JSON; `-` for standard output.")
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="Where good images are taken from: auto, test, validation or train. auto is the "
            "first of test, validation and train that has any."
        ),
    ] = "auto",
    images: Annotated[
        int, typer.Option(min=0, help="Good, and defective, images per product; 0 takes all.")
    ] = 25,
    seed: Annotated[int, typer.Option(min=0, help="Draws the planted anomalies.")] = 0,
    layout: Layout = "auto",
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Say why a model finds or misses: does it copy anomalies, mix up products, separate scores?

    Anomalies are planted into good images, so that no defective part is needed. For methods that
    rebuild features: rd, hfr, borad, logicrd.
    """
    need_training_packages("Diagnosing")
    from blemish._files import writable_target
    from blemish._progress import Progress
    from blemish.evaluation.diagnosis import diagnose as run_diagnosis
    from blemish.inspector import open_model

    if json is not None and str(json) != "-":
        writable_target(json)
    found = run_diagnosis(
        open_model(model, device=device),
        data,
        layout=layout,
        split=split,
        images=images,
        seed=seed,
        progress=Progress(quiet=quiet),
    )
    if json is not None:
        from blemish.evaluation.diagnosis import diagnosis_json

        write_text(json, diagnosis_json(found))
    if not quiet and str(json) != "-":
        _print_tables(found)
    if found.split == "train":
        print_notes(
            [
                f"The good images are training images of {data}. If this model has seen them, "
                "the figures flatter it."
            ]
        )
    print_failures(found.failures)
    if found.failures:
        sys.exit(2)


def _print_tables(found: Diagnosis) -> None:
    from rich.console import Console

    console = Console()
    console.print(_leakage_table(found))
    console.print(
        "Copied: share of the teacher's change that the student follows; 0 is best, at 1 the "
        "anomaly is invisible.\n"
    )
    if found.bottleneck is None:
        console.print("One product: there is nothing to tell apart in the bottleneck.\n")
    else:
        console.print(_separability_table(found))
        console.print(
            "Silhouette: -1 to 1. Purity: share of good images nearest to their own product's "
            "mean.\n"
        )
    console.print(_separation_table(found))
    console.print("Effect size: Cohen's d. Overlap: 0 apart, 1 alike.")


def _leakage_table(found: Diagnosis) -> Table:
    from rich.table import Table

    levels = len(found.leakage.copied)
    table = Table(title=f"Anomaly leakage, good images of the {found.split} split")
    table.add_column("planted anomalies")
    for level in range(levels):
        table.add_column(f"copied, level {level + 1}", justify="right")
    table.add_column("cosine to anomaly", justify="right")
    table.add_column("to clean", justify="right")

    def add(name: str, leakage: Leakage, style: str = "") -> None:
        cells = [f"{value:.3f}" for value in leakage.copied]
        for values in (leakage.to_anomalous, leakage.to_clean):
            cells.append(f"{sum(values) / levels:.3f}")
        table.add_row(plain(name), *cells, style=style)

    for product in found.products:
        add(product.product, product.leakage)
    table.add_section()
    for kind, leakage in found.kinds.items():
        add(kind, leakage)
    table.add_section()
    add("all", found.leakage, "bold")
    return table


def _separability_table(found: Diagnosis) -> Table:
    from rich.table import Table

    table = Table(title="Separability of good images by product")
    for heading in ("global average pool of", "silhouette", "purity", "by chance", "images"):
        table.add_column(heading, justify="left" if heading.startswith("global") else "right")

    def add(name: str, of: Separability | None) -> None:
        if of is not None:
            figures = (of.silhouette, of.purity, of.chance)
            table.add_row(name, *(f"{value:.3f}" for value in figures), str(of.images))

    add("the bottleneck", found.bottleneck)
    add("the teacher's deepest level", found.teacher)
    return table


def _separation_table(found: Diagnosis) -> Table:
    from rich.table import Table

    table = Table(title="Separation of the scores from those of good images")
    for heading in ("product", "anomalies", "good", "anomalous", "effect size", "overlap"):
        is_text = heading in ("product", "anomalies")
        table.add_column(heading, justify="left" if is_text else "right")

    def add(product: str, name: str, of: Separation) -> None:
        effect = f"{of.effect_size:.2f}" if of.effect_size == of.effect_size else "n/a"
        counts = str(of.good), str(of.anomalous)
        table.add_row(plain(product), name, *counts, effect, figure(of.overlap))

    for product in found.products:
        add(product.product, "planted", product.planted)
        if product.real is not None:
            add(product.product, "real", product.real)
    return table
