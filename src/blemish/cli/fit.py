"""``blemish fit``: from a folder of good pictures to a model file."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blemish._files import writable_target
from blemish._progress import print_failures, printable
from blemish.cli.common import (
    BitDepth,
    Device,
    Devices,
    FalseAlarmRate,
    Group,
    Layout,
    Logger,
    Nodes,
    Precision,
    Preset,
    Quiet,
    UnsureRate,
    need_training_packages,
    parse_assignments,
    parse_size,
)
from blemish.cli.folders import Data, Defects, Good, Masks, Test, data_source, print_read_as

if TYPE_CHECKING:
    from blemish._progress import Progress
    from blemish.calibration import Calibration
    from blemish.training.fit_report import FitReport


def fit(
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Model file to write; with --per-product a folder of them."
        ),
    ] = None,
    good: Good = None,
    defects: Defects = None,
    masks: Masks = None,
    test: Test = None,
    labelled: Annotated[
        list[str] | None,
        typer.Option(
            help="Defects to learn from, an image or a folder of them: trio weighs its measures by "
            "three or more, anomem trains on them. They are not tested on. Repeatable."
        ),
    ] = None,
    method: Annotated[str, typer.Option("--method", "-m", help="Name of the system.")] = "trio",
    speed: Annotated[
        str | None,
        typer.Option(
            help="fast, balanced or best: teacher and input size in one word, see `blemish methods "
            "trio`. Default: balanced; with other methods efficientnet_lite0 at 256², as in papers."
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="efficientnet_lite0, …1, …2, timm/<backbone>, or a registered one. Default: by "
            "speed."
        ),
    ] = None,
    teacher_weights: Annotated[
        str, typer.Option(help="pretrained, a local weight file, or random (for speed tests).")
    ] = "pretrained",
    size: Annotated[
        str | None,
        typer.Option(help="Input size: a side, or HEIGHTxWIDTH. Default: by speed and images."),
    ] = None,
    tile: Annotated[
        str | None,
        typer.Option(
            help="Cut large pictures into tiles of this side, or HEIGHTxWIDTH, in place of scaling "
            "them down; auto: of the speed's size, where pictures are larger. See `blemish plan`."
        ),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(help="Pixels that neighbouring tiles share. Default: an eighth of a tile."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="Cut pictures at this share of their own size. Default: 1."),
    ] = None,
    coarse: Annotated[
        bool,
        typer.Option(
            "--coarse",
            help="See the whole picture too: beside its tiles, or beside a close look.",
        ),
    ] = False,
    roi: Annotated[
        list[str] | None,
        typer.Option(
            help="What is looked at, [PRODUCT=]FILE: a mask picture, LabelMe's JSON, or a JSON of "
            "rectangles and polygons; the rest takes no part in anything. Repeatable."
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            help="What is ignored, [PRODUCT=]FILE: a mask picture or LabelMe's JSON. Repeatable."
        ),
    ] = None,
    align: Annotated[
        bool,
        typer.Option(
            "--align",
            help="Turn parts that lie a little differently (±10°, ±10 %) back to a good picture "
            "before they are judged. Needs the extra align.",
        ),
    ] = False,
    align_product: Annotated[
        list[str] | None,
        typer.Option(help="Align the pictures of this product alone. Repeatable."),
    ] = None,
    crop_to: Annotated[
        str | None,
        typer.Option(
            help="part: crop pictures to it, by region of interest, reference or even background. "
            "Needs the extra align."
        ),
    ] = None,
    preset: Preset = "light",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting of the method, NAME=VALUE; see `blemish methods`. Repeatable."
        ),
    ] = None,
    false_alarm_rate: FalseAlarmRate = 0.01,
    unsure_rate: UnsureRate = None,
    hold_out: Annotated[
        float | None,
        typer.Option(
            help="Share of the good images set aside for calibration. Default: none where the "
            "method measures each by the others (trio), else 0.2."
        ),
    ] = None,
    group: Group = "auto",
    products: Annotated[
        str | None, typer.Option(help="Only these products, separated by commas.")
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            help="Good image that is none, by its name or the end of its path: neither learned nor "
            "calibrated with. Repeatable."
        ),
    ] = None,
    per_product: Annotated[
        bool, typer.Option("--per-product", help="One model per product instead of one for all.")
    ] = False,
    layout: Layout = "auto",
    seed: Annotated[int, typer.Option(help="Same seed, same machine, same weights.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint of a stopped training.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw that checkpoint away and begin again.")
    ] = False,
    cache_dir: Annotated[
        Path | None, typer.Option(help="Keep the teacher's features here for further trainings.")
    ] = None,
    cache_budget: Annotated[
        float, typer.Option(help="Largest feature cache on disk, in GiB; above it none is made.")
    ] = 8.0,
    bit_depth: BitDepth = 16,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    precision: Precision = "32-true",
    logger: Logger = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Threads that decode; default: half of the cores, 8 at most."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Learn from good images and write a model file.

    One model is made for all products found. Good images set the limits for ok, unsure and defect:
    all of them, each measured by the others (trio), or a part set aside, or the data set's
    validation images.
    """
    need_training_packages("Training")
    from blemish._progress import Progress
    from blemish.cli.speed_table import print_speeds_here
    from blemish.data.images.roi_source import areas_by_product, region_of_interest
    from blemish.data.left_out import without_images
    from blemish.data.sources import good_training_samples, training_data
    from blemish.detector import Detector
    from blemish.errors import ConfigError, DataError
    from blemish.methods.registry import method_class
    from blemish.stores.urls import as_url
    from blemish.training.distributed import Processes, ShareDone
    from blemish.training.input_plan import line, other_ways, seen_by
    from blemish.training.labelled_defects import check_labels_are_used
    from blemish.training.options import TrainingOptions
    from blemish.training.reference import wanted_products
    from blemish.training.sides import check_asked

    options = TrainingOptions(
        seed=seed,
        device=device,
        devices=devices,
        nodes=nodes,
        precision=precision,
        workers=workers,
        loggers=tuple(logger or ()),
        resume=resume,
        restart=restart,
        cache_dir=cache_dir,
        cache_budget_gib=cache_budget,
    )
    processes = Processes.of(options)
    processes.share_steps_alone()
    quiet = quiet or not processes.first
    data_set = training_data(data_source(data, good, defects, masks, test), layout=layout)
    if products:
        wanted = [name.strip() for name in products.split(",")]
        unknown = [name for name in wanted if name not in data_set.products]
        if unknown:
            raise ConfigError(
                f"No product {unknown[0]!r} in {data_set.root}. "
                f"Found: {', '.join(data_set.products)}."
            )
        data_set = data_set.of_products(wanted)
    data_set = without_images(data_set, leave_out or ())
    name = (Path(data) if data else data_set.root).resolve().name.removesuffix(".csv")
    target = out or Path(f"{name}{'-models' if per_product else '.blemish'}")
    if labelled and per_product and len(data_set.products) > 1:
        raise ConfigError(
            "Which of the products do the labelled defects show? Fit each by itself, with its own: "
            "--products NAME --labelled DIR."
        )
    if per_product:
        if as_url(target) is None:
            target.mkdir(parents=True, exist_ok=True)
        parts = [(target / f"{p}.blemish", data_set.of_products([p])) for p in data_set.products]
    else:
        parts = [(target, data_set)]
    region = None
    if roi or ignore:
        looked_at, ignored = areas_by_product(roi, "--roi"), areas_by_product(ignore, "--ignore")
        region = region_of_interest(looked_at, ignored)
        region.check_products(data_set.products)
    aligned = wanted_products(align_product or align, data_set.products)
    left_out: list[str] = []
    shown: set[tuple[object, ...]] = set()
    if not quiet:
        where = data_set.root if data is None else data
        print(f"{where}: layout {data_set.layout}, products {', '.join(data_set.products)}")
        print_read_as(data_set, sys.stdout)
        if defects and not labelled:
            can = method_class(method).uses_labelled_anomalies
            why = "those named with --labelled are" if can else f"{method} learns from good ones"
            print(f"The defects of the data set are not learned; {why}.")
    for path, part in parts:
        # Found out now, not after ten minutes of training.
        writable_target(path)
        detector = Detector(
            method,
            speed=speed,
            teacher=teacher,
            teacher_weights=teacher_weights,
            image_size=parse_size(size),
            tile="auto" if tile == "auto" else parse_size(tile, "--tile"),
            overlap=overlap,
            scale=scale,
            coarse=coarse,
            bit_depth=bit_depth,
            preset=preset,
            settings=parse_assignments(settings),
        )
        work_dir = (Path() if as_url(path) else path.parent) / f"{path.name}.training"
        progress = Progress(quiet=quiet)
        progress.words = {"MODEL": shlex.quote(str(path))}
        if sys.argv[1:2] == ["fit"]:
            progress.words["blemish fit …"] = shlex.join(["blemish", *sys.argv[1:]])
        try:
            if labelled:
                tiled = detector.input.tile is not None
                check_labels_are_used(method, tiled=tiled)
            check_asked(part, labelled, group, bit_depth=bit_depth)
            if not quiet:
                sizes = good_training_samples(part, [])[1]
                print_speeds_here(detector, sizes, shown)
                if crop_to is None:  # else it is not known yet
                    print(line(seen_by(detector, sizes), other_ways(detector, sizes)))
            detector.fit(
                part,
                defects=labelled,
                roi=region and region.of_products(part.products),
                crop_to=crop_to,  # type: ignore[arg-type]  # checked there
                align=[name for name in aligned if name in part.products],
                false_alarm_rate=false_alarm_rate,
                unsure_rate=unsure_rate,
                hold_out_share=hold_out,
                group=group,
                training=replace(options, work_dir=work_dir, run_name=path.stem),
                progress=progress,
            )
            detector.save(path)
        except ShareDone:
            continue
        except BaseException as error:
            # A checkpoint is kept to go on from; anything less would only lie about.
            if processes.first and not any(work_dir.glob("*.ckpt")):
                shutil.rmtree(work_dir, ignore_errors=True)
            if len(parts) == 1 or not isinstance(error, DataError):
                raise
            # The other products' models are no worse for it.
            left_out += part.products
            if processes.first:
                print(printable(f"Error: {left_out[-1]}: {error}", keep="\n"), file=sys.stderr)
            continue
        if detector.fit_report.training.losses and as_url(path) is None:
            shutil.move(work_dir / "training.csv", path.with_suffix(".training.csv"))
        shutil.rmtree(work_dir, ignore_errors=True)
        print_report(path, detector.fit_report, detector.calibration, progress)
    if left_out:
        if processes.first:
            print(f"Without a model: {printable(', '.join(left_out))}.", file=sys.stderr)
        sys.exit(2)


def print_report(
    path: Path, report: FitReport, calibration: Calibration | None, progress: Progress
) -> None:
    """Say what was trained, what could not be read, and what to know about the limits."""
    from blemish.calibration.limit_setters import set_by_line
    from blemish.stores.urls import shown

    print_failures(report.failures)
    progress.say(report.notes)
    if not progress.quiet:
        labelled = ""
        if report.labelled_defects:
            labelled = f"{report.labelled_defects} labelled defects and "
        print(
            f"Wrote {shown(path)}: {len(report.products)} product(s), trained on {labelled}"
            f"{report.training_images} and calibrated on {report.calibration_images} good images "
            f"in {report.seconds:.0f} s{set_by_line(calibration) if calibration else ''}."
        )
