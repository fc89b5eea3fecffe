"""``blemish predict --out``: many pictures into a folder of Parquet files, here or on Ray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blemish._progress import Important, print_notes

if TYPE_CHECKING:
    from blemish.cli.lot import LotOptions
    from blemish.distributed.columns import Row
    from blemish.outputs.tally import Tally

#: Notes on pictures unlike those learned that are kept to be shown; all stand in the files.
_MOST_NOTES = 50


def judge_into_folder(
    model: Path,
    images: list[Path],
    out: Path,
    *,
    engine: str,
    address: str,
    workers: int | None,
    maps: bool,
    product: str | None,
    batch_size: int,
    recursive: bool,
    device: str,
    provider: str,
    rows: int,
    quiet: bool,
    lot: LotOptions,
) -> tuple[Tally, list[tuple[Path, str]]]:
    """Judge pictures into a folder of results, going on where an earlier run ended.

    Returns:
        The counts of the whole run, and why pictures could not be judged, the first ones.
    """
    from rich.console import Console

    from blemish._progress import Progress
    from blemish.calibration import Calibration
    from blemish.data.sources import images_to_judge
    from blemish.distributed.columns import verdict_row
    from blemish.distributed.judge import Judge
    from blemish.distributed.part_writer import PartWriter
    from blemish.distributed.result_folder import Plan, ResultFolder
    from blemish.errors import ConfigError
    from blemish.inspection.judging_model import check_product
    from blemish.model_file.bundle import model_manifest
    from blemish.outputs.run import MOST_REASONS
    from blemish.outputs.tally import Tally
    from blemish.stores.urls import shown

    manifest = model_manifest(model)
    limits = None if manifest.calibration is None else Calibration.from_json(manifest.calibration)
    if maps and limits is None:
        raise ConfigError(
            "Maps need limits, which their scale is tied to, and this model is not calibrated. "
            "Run: blemish calibrate MODEL GOOD_DIR"
        )
    check_product(product, manifest.products, limits)
    samples = images_to_judge(images, recursive=recursive, on_note=lambda note: print_notes([note]))
    paths = [shown(sample.path) for sample in samples]
    parts = lot.tally(limits, [sample.path for sample in samples], rows=rows)
    if parts is not None:
        parts.expect(sample.path for sample in samples)
    how: dict[str, Any] = {"product": product, "batch_size": batch_size}
    plan = Plan.of(paths, model=manifest.digest, maps=maps, **how)
    results = ResultFolder(out)
    done = results.begin(plan)
    writer = PartWriter(
        Judge(model, digest=manifest.digest, device=device, provider=provider, **how),
        results,
        maps=maps,
    )

    def each() -> Iterator[list[Row]]:
        yield from map(results.read, done)
        blocks, count = plan.blocks(paths, done), plan.count - len(done)
        if engine == "ray" and count:
            from blemish.distributed.on_ray import on_ray

            yield from on_ray(writer, blocks, count=count, address=address, workers=workers)
        else:
            yield from map(writer.write, blocks)

    tally, reasons, notes = (
        Tally(limit=rows, parts=parts),
        list[tuple[Path, str]](),
        dict[str, None](),
    )
    with Progress(quiet=quiet).task("Judging", plan.pictures) as task:
        for block in each():
            for row in block:
                judged = verdict_row(row)
                if judged is not None:
                    tally.add(judged)
                    if row.get("notes") and len(notes) < _MOST_NOTES:
                        notes.update(dict.fromkeys(row["notes"]))
                    continue
                tally.fail(Path(row["path"]))
                if len(reasons) < MOST_REASONS:
                    reasons.append((Path(row["path"]), row["error"]))
            task.advance(len(block))
    lot.end(parts)
    if not quiet:
        Console().print(tally.table())
        lot.show(parts)
        said: list[str] = list(notes)
        if limits is None:
            said.append(Important("The model is not calibrated: scores only."))
        said += tally.products.notes(named=product is not None, calibration=limits)
        said += tally.branches.notes(limits)
        print_notes(said)
    return tally, reasons
