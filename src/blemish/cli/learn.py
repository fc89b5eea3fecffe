"""``blemish learn``: add good images, or a product, to a finished model."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from blemish._files import keep_beside, writable_target
from blemish._progress import print_failures, print_notes
from blemish.cli.common import (
    Group,
    Layout,
    ModelFile,
    Quiet,
    need_training_packages,
)
from blemish.cli.folders import print_read_as


def learn(
    model: ModelFile,
    good: Annotated[
        str, typer.Argument(help="Folder of good images, or a data set in any known layout.")
    ],
    product: Annotated[
        str | None,
        typer.Option(
            help="Which product they show, one that the model knows or a new one. Default: as "
            "folders say, or the only one that it knows."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write here instead of into MODEL.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the limits before and after, write nothing.")
    ] = False,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            help="Good image that is none, by its name or the end of its path. Repeatable."
        ),
    ] = None,
    layout: Layout = "auto",
    group: Group = "auto",
    seed: Annotated[int, typer.Option(help="Same seed, same machine, same model.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Add good images, or a product, to a finished model, without the images it was fitted on.

    What it knows of other products stays as it is; all limits are shown before and after. Where
    some of the images are perhaps not good, the model as it was is kept beside as MODEL.bak.
    """
    need_training_packages("Learning")
    from blemish._progress import Progress, printable
    from blemish.calibration.limit_changes import limit_changes
    from blemish.data.left_out import without_images
    from blemish.data.sources import training_data
    from blemish.detector import Detector
    from blemish.errors import ConfigError
    from blemish.inspector import open_model
    from blemish.training.options import TrainingOptions

    detector = open_model(model)
    if not isinstance(detector, Detector):
        raise ConfigError(
            f"{model} is an exported model, a finished graph that cannot learn. Give the trained "
            "model it was made from, then export that again: blemish export"
        )
    if not dry_run:
        writable_target(out or model)  # found out now, not after the work
    data_set = training_data(good, layout=layout, bit_depth=detector.bit_depth)
    if not quiet:
        print_read_as(data_set, sys.stdout)
    before = detector.calibration
    report = detector.learn(
        without_images(data_set, leave_out or ()),
        product=product,
        group=group,
        training=TrainingOptions(seed=seed),
        progress=Progress(quiet=quiet),
    )
    print_failures(report.failures)
    if not report.images:
        print_notes(report.notes)
        print("Nothing new to learn; nothing was written.")
        return
    kept = None
    if not dry_run:
        if report.doubtful and (out is None or out.resolve() == model.resolve()):
            kept = keep_beside(model)
        detector.save(out or model)
    if not quiet:
        print_notes(report.notes, {"MODEL": shlex.quote(str(out or model))})
        if detector.calibration is not None:
            print("\n".join(map(printable, limit_changes(before, detector.calibration))))
        learned = ", ".join(
            f"{count} good images of {name}{' (new)' if name in report.new_products else ''}"
            for name, count in report.images.items()
        )
        end = "Nothing was written (--dry-run)." if dry_run else f"Wrote {out or model}."
        print(f"Learned {learned} in {report.seconds:.0f} s. {end}")
    if kept is not None:
        was, now = shlex.quote(str(kept)), shlex.quote(str(model))
        print(
            f"Important: because of what is said above the model as it was is kept, {kept}. Back "
            f"to it: mv {was} {now}",
            file=sys.stderr,
        )
