"""``blemish predict``: judge images with a model file, all at once or as they arrive."""

from __future__ import annotations

import signal
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish._progress import Important, print_failures, print_notes
from blemish.cli.common import (
    Address,
    Device,
    ModelFile,
    Provider,
    Quiet,
    Workers,
    check_engine,
)
from blemish.cli.lot import LotOptions, PartId, Views
from blemish.cli.send import Send, SpoolFolder, couriers_of

if TYPE_CHECKING:
    from blemish.delivery.courier import Couriers
    from blemish.outputs.parts import PartTally
    from blemish.outputs.run import Outputs
    from blemish.results import Prediction


def predict(
    model: ModelFile,
    images: Annotated[list[Path], typer.Argument(help="Images and folders of images.")],
    product: Annotated[
        str | None,
        typer.Option(
            help="Which product it is, to use that product's limits. Default: as the model "
            "recognises it; a model that cannot uses pooled limits."
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a CSV file.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write JSON lines.")] = None,
    heatmaps: Annotated[
        Path | None, typer.Option(help="Folder for pictures with heat map, boxes and verdict.")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Folder for masks of the marked areas.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for results as Parquet, a file per block of pictures; the same command "
            "goes on where it was stopped."
        ),
    ] = None,
    maps: Annotated[
        bool, typer.Option("--maps", help="--out: anomaly maps as PNG beside the results.")
    ] = False,
    part_id: PartId = None,
    fdr: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Call pictures, or parts, of the whole lot defective so that at most this share "
            "of those called is good.",
        ),
    ] = None,
    parts: Annotated[
        Path | None, typer.Option(help="--part-id, --fdr: write a CSV file of the parts.")
    ] = None,
    views: Views = None,
    engine: Annotated[
        str, typer.Option(help="--out: who judges: plain, this process, or ray, a Ray cluster.")
    ] = "plain",
    address: Address = "auto",
    workers: Workers = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on behind what is in --csv and --json already."),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Judge pictures as they arrive in the folder, until Ctrl-C."),
    ] = False,
    send: Send = None,
    spool: SpoolFolder = None,
    settle: Annotated[
        float,
        typer.Option(min=0, help="--watch: seconds a file must be unchanged to be complete."),
    ] = 0.5,
    give_up: Annotated[
        float,
        typer.Option(min=0, help="--watch: seconds after which an unreadable file is given up."),
    ] = 30.0,
    recursive: Annotated[bool, typer.Option(help="Search sub-folders too.")] = True,
    rows: Annotated[int, typer.Option(help="Longest table on the terminal.")] = 20,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per pass.")] = 8,
    device: Device = "cpu",
    provider: Provider = "auto",
    quiet: Quiet = False,
) -> None:
    """Judge images: ok, unsure or defect, with score, p-value and map.

    Exit code 0 when all are ok, 1 when one is unsure or defective, 2 when an image could not be
    judged. With --resume the images judged before count too. With --part-id the parts decide, with
    --fdr what is called defective.
    """
    from rich.console import Console

    from blemish._progress import Progress
    from blemish.data.images.image_list import Arrivals, folders_to_watch
    from blemish.data.sources import images_to_judge
    from blemish.inspector import open_model
    from blemish.outputs.run import Outputs, common_root, judge_into

    lot = LotOptions(part_id, views, fdr, parts)
    if out is not None or engine != "plain" or maps:
        lines = {"--csv": csv, "--json": json, "--heatmaps": heatmaps, "--masks": masks}
        given = [name for name, value in lines.items() if value is not None]
        given += ["--watch"] if watch else []
        given += ["--send"] if send else []
        _into_folder(
            given,
            *(model, images, out),
            engine=engine,
            address=address,
            workers=workers,
            maps=maps,
            product=product,
            batch_size=batch_size,
            recursive=recursive,
            device=device,
            provider=provider,
            rows=rows,
            quiet=quiet,
            lot=lot,
        )
        return
    opened = open_model(model, device=device, provider=provider)
    if watch:
        folders = folders_to_watch(images)
        root = common_root([folder / "picture" for folder in folders])
    else:
        samples = images_to_judge(
            images, recursive=recursive, on_note=lambda note: print_notes([note])
        )
        root = common_root([sample.path for sample in samples])
    by_part = lot.tally(
        opened.calibration, None if watch else [sample.path for sample in samples], rows=rows
    )
    couriers = couriers_of(send, model, spool)
    written = Outputs(
        opened,
        root=root,
        csv=csv,
        json=json,
        heatmaps=heatmaps,
        masks=masks,
        resume=resume,
        digest="" if opened.manifest is None else opened.manifest.digest,
        rows=rows,
        deliver=partial(_deliver, couriers, by_part) if couriers else None,
        parts=by_part,
    )
    how: dict[str, Any] = {"product": product, "batch_size": batch_size}
    with couriers or nullcontext(), written as outputs:
        if (
            couriers and by_part and part_id is not None
        ):  # what an earlier run has judged, it has sent
            by_part.on_part = couriers.take_part
        if watch:
            arrivals = Arrivals(folders, recursive=recursive, settle=settle, give_up=give_up)
            _watch(outputs, arrivals, quiet=quiet, **how)
        else:
            judge_into(outputs, samples, progress=Progress(quiet=quiet), **how)
        lot.end(by_part)
    if not quiet:
        Console().print(outputs.tally.table())
        lot.show(by_part)
        notes: list[str] = outputs.unlike.sentences() + opened.said
        if opened.calibration is None:
            said = "The model is not calibrated: scores only. Run `blemish calibrate`."
            notes.append(Important(said))
        seen = outputs.tally.products
        notes += seen.notes(named=product is not None, calibration=opened.calibration)
        notes += outputs.tally.branches.notes(opened.calibration)
        print_notes(notes)
    print_failures(outputs.reasons, total=outputs.tally.failures)
    if outputs.tally.exit_code:
        sys.exit(outputs.tally.exit_code)


def _deliver(couriers: Couriers, parts: PartTally | None, prediction: Prediction) -> None:
    """Send a verdict, with the part that its picture shows."""
    part = None
    if parts is not None and parts.part_id is not None:
        part = parts.part_of(prediction.path)
    views = None if part is None or parts is None else parts.views_of(part)
    couriers.take(prediction, part=part, views=views)


def _into_folder(
    given: list[str], model: Path, images: list[Path], out: Path | None, **how: Any
) -> None:
    """Judge into ``--out``; ``given`` are options that belong to the other way of writing."""
    from blemish.cli.result_folder import judge_into_folder
    from blemish.errors import ConfigError

    if out is None:
        raise ConfigError("--engine and --maps need the folder for the results: --out DIR.")
    if given:
        raise ConfigError(
            f"--out writes a folder of Parquet files, without {given[0]}: leave one of them out."
        )
    check_engine(how["engine"])
    tally, reasons = judge_into_folder(model, images, out, **how)
    print_failures(reasons, total=tally.failures)
    if tally.exit_code:
        sys.exit(tally.exit_code)


def _watch(outputs: Outputs, arrivals: Any, *, quiet: bool, **how: Any) -> None:
    """Watch until Ctrl-C or the end of the service, either of which is a clean end."""
    from rich.console import Console
    from rich.text import Text

    from blemish.outputs.lines import VerdictRow
    from blemish.outputs.run import watch_into
    from blemish.outputs.tally import verdict_line

    console = Console(highlight=False, soft_wrap=True)

    def say(prediction: Prediction) -> None:
        if not quiet:
            console.print(verdict_line(VerdictRow.of(prediction)))

    def note(text: str) -> None:
        print(f"Note: {text}", file=sys.stderr, flush=True)

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    # A service is ended by SIGTERM; it too gets its summary.
    before = signal.signal(signal.SIGTERM, end)
    try:
        if not quiet:
            where = ", ".join(map(str, arrivals.folders))
            Console(stderr=True).print(Text(f"Watching {where}. Ctrl-C ends."))
        watch_into(outputs, arrivals, on_prediction=say, on_note=note, **how)
    except KeyboardInterrupt:
        if arrivals.pending and not quiet:
            note(f"{arrivals.pending} file(s) were not complete yet, or not judged.")
    finally:
        signal.signal(signal.SIGTERM, before)
