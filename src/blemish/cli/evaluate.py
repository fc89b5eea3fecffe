"""``blemish evaluate``: measure a model on labelled images."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blemish._progress import Important, print_failures, print_notes
from blemish.cli.common import (
    Compatibility,
    Device,
    Histogram,
    Layout,
    ModelFile,
    Provider,
    Quiet,
    figure,
    metrics_table,
    need_training_packages,
    plain,
    write_text,
)
from blemish.cli.folders import Data, Defects, Good, Masks, Test, data_source, print_read_as

if TYPE_CHECKING:
    from rich.console import Console

    from blemish.evaluation.evaluator import Evaluation
    from blemish.evaluation.promised_power import PromisedPower

_IMAGE = {"image_auroc": "AUROC", "image_ap": "AP", "image_f1_max": "F1-max"}
_PIXEL = {
    "pixel_auroc": "AUROC",
    "pixel_ap": "AP",
    "pixel_f1_max": "F1-max",
    "pixel_aupro": "AUPRO",
}
_SAMPLE = {"sample_auroc": "AUROC", "sample_ap": "AP", "sample_f1_max": "F1-max"}
_LOGICAL = {
    "image_auroc_logical": "AUROC logical",
    "image_auroc_structural": "AUROC structural",
    "image_auroc_mean": "AUROC mean",
    "au_spro_0.05_logical": "AU-sPRO@0.05 logical",
    "au_spro_0.05_structural": "AU-sPRO@0.05 structural",
    "au_spro_0.05_mean": "AU-sPRO@0.05 mean",
}


def evaluate(
    model: ModelFile,
    data: Data = None,
    good: Good = None,
    defects: Defects = None,
    masks: Masks = None,
    test: Test = None,
    layout: Layout = "auto",
    json: Annotated[
        Path | None, typer.Option(help="Write all figures as JSON; `-` for standard output.")
    ] = None,
    histogram: Histogram = False,
    compatibility: Compatibility = "none",
    device: Device = "cpu",
    provider: Provider = "auto",
    quiet: Quiet = False,
) -> None:
    """Measure a model on the labelled test images of a data set.

    Metrics are computed on raw scores; the limits only decide the operating point.
    """
    need_training_packages("Evaluating")
    from blemish._progress import Progress
    from blemish.data.sources import training_data
    from blemish.inspector import open_model

    source = data_source(data, good, defects, masks, test)
    detector = open_model(model, device=device, provider=provider)
    print_notes(detector.said)
    data_set = training_data(source, layout=layout, bit_depth=detector.bit_depth)
    data_set, renamed = detector.as_learned(data_set)
    if not quiet:
        print_read_as(data_set)
        print_notes([*data_set.problems, *renamed])
    evaluation = detector.evaluate(
        data_set,
        histogram=histogram,
        compatibility=compatibility,  # type: ignore[arg-type]  # checked there
        progress=Progress(quiet=quiet),
        on_note=lambda note: print_notes([note]),
    )
    strange = data_set.products
    if len(detector.products) > 1 and not set(strange) & set(detector.products):
        some = ", ".join(strange[:3]) + (", …" if len(strange) > 3 else "")
        known = ", ".join(detector.products[:3]) + (", …" if len(detector.products) > 3 else "")
        said = f"The model never learned {some}: it knows {known}. The figures are of strange parts"
        print_notes([Important(f"{said}, or of products that are called otherwise here.")])
    if json is not None:
        from blemish.evaluation.as_json import evaluation_json

        write_text(json, evaluation_json(evaluation))
    if not quiet and str(json) != "-":
        _print_tables(evaluation)
    print_failures(evaluation.failures)
    if evaluation.failures:
        sys.exit(2)


def _print_tables(evaluation: Evaluation) -> None:
    from rich.console import Console

    console = Console()
    ader = {} if evaluation.mean_ad_ader is None else {"pixel_f1_max_ader": "F1-max as in ADer"}
    groups = [("Image level", _IMAGE), ("Pixel level", _PIXEL | ader)]
    if "sample_auroc" in evaluation.mean:
        groups.append(("Part level: the worst of a part's views", _SAMPLE))
    if "image_auroc_logical" in evaluation.mean:
        groups.append(("Logical and structural", _LOGICAL))
    for title, columns in groups:
        table = metrics_table(evaluation, columns)
        table.title = title
        console.print(table)
    if evaluation.unlearned:
        names = ", ".join(evaluation.unlearned)
        console.print(plain(f"In no mean, as the model never learned them: {names}."))
    mean_ad = figure(evaluation.mean_ad, evaluation.error_bounds.get("mean_ad"))
    console.print(f"mAD (mean of seven): {mean_ad}")
    if evaluation.mean_ad_ader is not None:
        console.print(f"mAD with pixel F1-max as in ADer: {figure(evaluation.mean_ad_ader)}")
    if evaluation.error_bounds:
        console.print("± is the largest possible error of a metric measured in bounded memory.")
    if evaluation.power:
        _print_power(console, evaluation)
    for result in evaluation.products:
        if result.operating is not None:
            o = result.operating
            console.print(
                f"{result.product} at its limit: {o.fp} of {o.fp + o.tn} good images called "
                f"defective, {o.tp} of {o.tp + o.fn} defective ones found.",
                markup=False,
            )
        print_notes(f"{result.product}: {problem}" for problem in result.problems)


def _print_power(console: Console, evaluation: Evaluation) -> None:
    """What the limits for each promised rate find, marked where they guarantee less."""
    from rich.table import Table

    from blemish.evaluation.promised_power import shortfalls

    table = Table(header_style="bold", title="Power at the promise")
    table.add_column("product")
    for power in evaluation.power:
        for heading in (f"found at {power.promise}", "good stopped", "ROC offers"):
            table.add_column(heading, justify="right")

    def cells(at_rates: Iterable[PromisedPower]) -> list[str]:
        return [
            cell
            for power in at_rates
            for cell in (
                figure(power.found_share) + ("*" if power.short and power.counts else ""),
                figure(power.stopped_share),
                figure(power.roc_recall),
            )
        ]

    for result in evaluation.products:
        table.add_row(plain(result.product), *cells(result.power))
    if len(evaluation.products) > 1:
        table.add_section()
        table.add_row("mean", *cells(evaluation.power), style="bold")
    console.print(table)
    console.print(
        "ROC offers: the recall of the best threshold that stops no more good images; what it is "
        "above the share found, calibration wastes."
    )
    for sentence in shortfalls((r.product, r.power) for r in evaluation.products):
        console.print(plain(f"* {sentence}"))
