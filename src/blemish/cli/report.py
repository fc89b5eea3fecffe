"""``blemish report``: what a model finds and what it misses, as one HTML file."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from blemish._progress import print_failures, print_notes
from blemish.cli.common import Device, Histogram, Layout, ModelFile, Quiet, need_training_packages
from blemish.cli.folders import Data, Defects, Good, Masks, Test, data_source, print_read_as


def report(
    model: ModelFile,
    data: Data = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")] = Path(
        "report.html"
    ),
    pictures: Annotated[
        int, typer.Option(min=0, help="Images shown of each group of each product.")
    ] = 6,
    good: Good = None,
    defects: Defects = None,
    masks: Masks = None,
    test: Test = None,
    layout: Layout = "auto",
    histogram: Histogram = False,
    diagnose: Annotated[
        bool, typer.Option("--diagnose", help="Add why it misses; see `blemish diagnose`.")
    ] = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Write one HTML file: what the model finds, what it misses, how sure the figures are.

    It opens in any browser, on a phone too, and loads nothing from anywhere.
    """
    need_training_packages("A report")
    from blemish._files import writable_target
    from blemish._progress import Progress
    from blemish.data.sources import training_data
    from blemish.inspector import open_model
    from blemish.report.report import make_report, write_report
    from blemish.report.summary import summary_cards
    from blemish.stores.remote import file_size
    from blemish.stores.urls import shown

    # Found out now, not after an hour of judging.
    writable_target(out)
    source = data_source(data, good, defects, masks, test)
    started = time.perf_counter()
    detector = open_model(model, device=device)
    load_seconds = time.perf_counter() - started
    data_set = training_data(source, layout=layout, bit_depth=detector.bit_depth)
    data_set, renamed = detector.as_learned(data_set)
    if not quiet:
        print_read_as(data_set)
        print_notes(renamed)
    found = None
    if diagnose:
        from blemish.evaluation.diagnosis import diagnose as run_diagnosis

        found = run_diagnosis(detector, data_set, progress=Progress(quiet=quiet))
    made = make_report(
        detector,
        data_set,
        name=model.name,
        manifest=detector.manifest,
        pictures=pictures,
        histogram=histogram,
        load_seconds=load_seconds,
        command=shlex.join(["blemish", *sys.argv[1:]]),
        diagnosis=found,
        progress=Progress(quiet=quiet),
    )
    write_report(made, out)
    if not quiet:
        for card in summary_cards(made):
            print(card.sentence)
        print(f"Wrote {shown(out)} ({file_size(out) / 2**20:.1f} MiB).")
    print_failures(made.evaluation.failures)
    if made.evaluation.failures:
        sys.exit(2)
