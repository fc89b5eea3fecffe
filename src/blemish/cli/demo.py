"""``blemish demo``: the whole way on a synthetic line, from good pictures to verdicts."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blemish._progress import print_failures, print_notes
from blemish.cli.common import Quiet, need_training_packages

if TYPE_CHECKING:
    from blemish.detector import Detector


def demo(
    folder: Annotated[
        Path, typer.Argument(help="Where the demo line, the model and the pictures go.")
    ] = Path("demo"),
    products: Annotated[
        str, typer.Option(help="Products of the synthetic line, separated by commas.")
    ] = "metal,fabric,board,tray",
    false_alarm_rate: Annotated[
        float, typer.Option(help="Share of good parts that may be called defective.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Seed of pictures and training.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Draw a synthetic inspection line, learn its good parts, judge its test images.

    Everything in it is computed, no picture is a photograph: it shows how blemish works, not how
    well. A second run with the same options goes straight to judging.
    """
    need_training_packages("The demo")
    from rich.console import Console

    from blemish._progress import Progress
    from blemish.data.layouts import read_data_set
    from blemish.demo_line import write_demo_line
    from blemish.detector import Detector
    from blemish.outputs.run import Outputs, common_root, judge_into

    chosen = tuple(name.strip() for name in products.split(","))
    progress = Progress(quiet=quiet)
    folder.mkdir(parents=True, exist_ok=True)
    if not quiet:
        print(f"Synthetic inspection line: {', '.join(chosen)} -> {folder / 'line'}")
    line = write_demo_line(folder / "line", products=chosen, seed=seed)
    data_set = read_data_set(line, layout="mvtec_loco")
    model = folder / "demo.blemish"
    new = Detector()
    wanted = {
        "products": list(chosen),
        "seed": seed,
        "rate": false_alarm_rate,
        "method": new.method_name,
        "config": new.config.to_json(),
    }
    detector = _trained_before(model, wanted)
    if detector is None:
        detector = new
        report = detector.fit(
            data_set, false_alarm_rate=false_alarm_rate, seed=seed, progress=progress
        ).fit_report
        detector.training["demo"] = wanted
        detector.save(model)
        print_failures(report.failures)
        if not quiet:
            print(
                f"Wrote {model}: learned from {report.training_images} and calibrated on "
                f"{report.calibration_images} good images in {report.seconds:.0f} s."
            )
    # A few good and a few defective parts of every product and kind.
    samples = []
    for product in chosen:
        tests = data_set.of_products([product]).split("test").samples
        for kind in dict.fromkeys(s.defect_kind for s in tests):
            samples += [s for s in tests if s.defect_kind == kind][:4]
    with Outputs(
        detector,
        root=common_root(sample.path for sample in samples),
        csv=folder / "verdicts.csv",
        heatmaps=folder / "heatmaps",
        rows=60,
    ) as outputs:
        judge_into(outputs, samples, progress=progress)
    print_failures(outputs.reasons, total=outputs.tally.failures)
    if not quiet:
        Console().print(outputs.tally.table())
        assert detector.calibration is not None
        learned = bool(detector.training.get("cross_fitted"))
        words = {"MODEL": shlex.quote(str(model))}
        print_notes(detector.calibration.notes(learned=learned), words)
        print(
            f"Pictures: {folder / 'heatmaps'}   Table: {folder / 'verdicts.csv'}   "
            f"Model: {model}\n"
            f"Next: blemish evaluate {model} {folder / 'line'}"
        )
    if outputs.tally.failures:
        sys.exit(2)


def _trained_before(model: Path, wanted: dict[str, object]) -> Detector | None:
    """The demo's model, where the last run with the same options left one."""
    from blemish.detector import Detector
    from blemish.errors import BundleError

    try:
        detector = Detector.load(model)
    except BundleError:
        return None
    return detector if detector.training.get("demo") == wanted else None
