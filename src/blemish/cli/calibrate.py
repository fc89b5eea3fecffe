"""``blemish calibrate``: set a model's limits again, without training."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from blemish._progress import print_failures, print_notes
from blemish.cli.common import Group, ModelFile, Quiet, UnsureRate


def calibrate(
    model: ModelFile,
    good: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Good images that training has not seen. Without any, the rates are changed and "
            "the images of the last calibration kept."
        ),
    ] = None,
    how: Annotated[
        str,
        typer.Option(
            help="replace the product's good images by these, join them, or exclude these from "
            "them. Other products keep theirs."
        ),
    ] = "replace",
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave out the good image of this name, as `blemish info` and the notes call it; "
            "its file is not needed. Repeatable."
        ),
    ] = None,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(help="Share of good parts that may be called defective. Default: as it is."),
    ] = None,
    unsure_rate: UnsureRate = None,
    estimate: Annotated[
        bool | None,
        typer.Option(
            help="Where good images are too few for a rate, estimate its limit from the tail of "
            "their scores, without guarantee. Default: as it is, at first not."
        ),
    ] = None,
    product: Annotated[
        str | None,
        typer.Option(
            help="Which product the images show. Default: as their folders say, else as the model "
            "recognises it."
        ),
    ] = None,
    group: Group = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write here instead of into MODEL.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Set the limits from good images, or change the rates. Needs seconds, not a training."""
    from blemish._progress import Progress, printable
    from blemish.calibration import Calibration
    from blemish.calibration import calibrate as set_limits
    from blemish.calibration.limit_changes import limit_changes
    from blemish.calibration.limit_setters import named_images, set_by_line
    from blemish.data.left_out import leave_out_flags
    from blemish.errors import CalibrationError, ConfigError
    from blemish.model_file.bundle import read_model
    from blemish.model_file.new_limits import write_limits

    if how not in ("replace", "join", "exclude"):
        raise ConfigError(f"--how {how}: expected replace, join or exclude.")
    if how != "replace" and not good:
        raise ConfigError(f"--how {how} needs images: blemish calibrate MODEL IMAGES --how {how}")
    if exclude and good:
        raise ConfigError("--exclude names good images of the last calibration; give no others.")
    failures: list[tuple[Path, str]] = []
    if good:
        from blemish.inspector import open_model

        detector = open_model(model)
        before = detector.calibration
        notes = detector.calibrate(
            good,
            how=how,  # type: ignore[arg-type]
            false_alarm_rate=false_alarm_rate,
            unsure_rate=unsure_rate,
            estimate=estimate,
            product=product,
            group=group,
            progress=Progress(quiet=quiet),
            on_error=lambda path, error: failures.append((path, str(error))),
        )
        after = detector.calibration
        detector.save(out or model)
    else:
        # Nothing is judged, so that nothing has to be built or run: no wait for torch.
        bundle = read_model(model)
        if bundle.manifest.calibration is None:
            raise CalibrationError(
                f"{model} has no calibration whose rates could be changed. Give good images: "
                "blemish calibrate MODEL GOOD_DIR"
            )
        before = Calibration.from_json(bundle.manifest.calibration)
        after = set_limits(
            named_images(before, exclude or (), product),
            current=before,
            how="exclude",
            false_alarm_rate=false_alarm_rate,
            unsure_rate=unsure_rate,
            estimate=estimate,
        )
        write_limits(out or model, bundle, after)
        learned = bool(bundle.manifest.training.get("cross_fitted"))
        notes = after.notes(learned=learned)
        if exclude and learned:
            names = [f"{product}/{name}" if product else name for name in exclude]
            it = "it" if len(names) == 1 else "them"
            notes.append(
                f"The model has learned {it} as good all the same, and what looks like that scores "
                f"low. Without {it}: `blemish fit … {leave_out_flags(names)}`"
            )
    print_failures(failures)
    if not quiet:
        assert after is not None  # what was judged has set limits
        print_notes(notes, {"MODEL": shlex.quote(str(out or model))})
        for line in limit_changes(before, after):
            print(printable(line))
        print(
            f"Wrote {out or model}: limits from {after.counted} at a "
            f"false-alarm rate of {after.false_alarm_rate:.3g}{set_by_line(after)}."
        )
