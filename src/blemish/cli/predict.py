"""``blemish predict``: judge images with a model file."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blemish.cli.options import Device, ModelFile, Quiet, need_training_packages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blemish.data.sample import Sample
    from blemish.detector import Detector
    from blemish.progress import Progress
    from blemish.results import Prediction


def predict(
    model: ModelFile,
    images: Annotated[list[Path], typer.Argument(help="Images and folders of images.")],
    product: Annotated[
        str | None, typer.Option(help="Which product it is, to use that product's limits.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a CSV file.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write JSON lines.")] = None,
    heatmaps: Annotated[
        Path | None, typer.Option(help="Folder for pictures with heat map, boxes and verdict.")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Folder for masks of the marked areas.")
    ] = None,
    recursive: Annotated[bool, typer.Option(help="Search sub-folders too.")] = True,
    rows: Annotated[int, typer.Option(help="Longest table on the terminal.")] = 20,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per pass.")] = 8,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Judge images: ok, unsure or defect, with score, p-value and map.

    Exit code 0 when all are ok, 1 when one is unsure or defective, 2 when an image could not be
    judged.
    """
    need_training_packages("Predicting with a trained model")
    from rich.console import Console

    from blemish.cli.output import print_failures, print_notes
    from blemish.data.sources import images_to_judge
    from blemish.detector import Detector
    from blemish.progress import Progress
    from blemish.reporting.tables import terminal_table

    detector = Detector.load(model, device=device)
    samples = images_to_judge(images, recursive=recursive)
    failures: list[tuple[Path, str]] = []
    judged = run_sinks(
        detector,
        samples,
        product=product,
        csv=csv,
        json=json,
        heatmaps=heatmaps,
        masks=masks,
        batch_size=batch_size,
        failures=failures,
        progress=Progress(quiet=quiet),
    )
    if not quiet:
        Console().print(terminal_table(judged, limit=rows, failures=len(failures)))
        if detector.calibration is None:
            print_notes(["The model is not calibrated: scores only. Run `blemish calibrate`."])
        else:
            print_notes(detector.calibration.notes([product]))
    print_failures(failures)
    if failures:
        sys.exit(2)
    if any(p.verdict in ("unsure", "defect") for p in judged):
        sys.exit(1)


def run_sinks(
    detector: Detector,
    samples: Sequence[Sample],
    *,
    product: str | None,
    csv: Path | None,
    json: Path | None,
    heatmaps: Path | None,
    masks: Path | None,
    batch_size: int,
    failures: list[tuple[Path, str]],
    progress: Progress,
) -> list[Prediction]:
    """Predict, write what was asked for as it comes, and keep the verdicts without the maps."""
    from dataclasses import replace

    import numpy as np

    from blemish.data.image import read_image
    from blemish.errors import ConfigError
    from blemish.reporting.line_sink import LineSink
    from blemish.reporting.pictures import MaskSink, OverlaySink, common_root
    from blemish.reporting.tables import CsvSink, JsonLinesSink

    if (masks or heatmaps) and detector.calibration is None:
        raise ConfigError(
            "Heat maps and masks need limits, and this model is not calibrated. Run: "
            "blemish calibrate MODEL GOOD_DIR"
        )
    root = common_root([sample.path for sample in samples])
    nothing = np.zeros((0, 0), np.float32)
    judged: list[Prediction] = []
    with ExitStack() as stack:
        lines: list[LineSink] = []
        if csv is not None:
            branches = detector.method.branch_names if detector.method else ()
            lines.append(stack.enter_context(CsvSink(csv, branches=branches)))
        if json is not None:
            lines.append(stack.enter_context(JsonLinesSink(json, calibration=detector.calibration)))
        mask_sink = MaskSink(masks, root=root) if masks else None
        overlay_sink = None
        if heatmaps and detector.calibration:
            overlay_sink = OverlaySink(heatmaps, root=root, calibration=detector.calibration)

        def on_error(path: Path, error: Exception) -> None:
            failures.append((path, str(error)))
            for sink in lines:
                sink.fail(path, error)

        predictions = detector.predict(
            samples, product=product, batch_size=batch_size, on_error=on_error
        )
        for prediction in progress.track(predictions, "Judging", len(samples)):
            for sink in lines:
                sink.write(prediction)
            if mask_sink is not None:
                mask_sink.write(prediction)
            if overlay_sink is not None and prediction.path is not None:
                depth = detector.bit_depth
                overlay_sink.write(prediction, read_image(prediction.path, bit_depth=depth))
            # The maps of ten thousand images would not fit into memory; the table needs none.
            judged.append(replace(prediction, anomaly_map=nothing, mask=None))
    return judged
