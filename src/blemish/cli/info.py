"""``blemish info``: what a model file holds."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish._progress import Important, print_notes
from blemish.cli.common import ModelFile, plain

if TYPE_CHECKING:
    from blemish.model_file.bundle import ExportEntry


def info(
    model: ModelFile,
    json: Annotated[bool, typer.Option("--json", help="Print the whole manifest as JSON.")] = False,
    all: Annotated[
        bool, typer.Option("--all", help="Also settings, versions, digests and how it was trained.")
    ] = False,
) -> None:
    """Show what a model file holds: method, teacher, products, limits."""
    from blemish.model_file.bundle import model_manifest
    from blemish.stores.remote import file_size
    from blemish.stores.urls import shown

    manifest = model_manifest(model)
    if json:
        print(manifest.model_dump_json(indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    size = manifest.preprocessing
    training = manifest.training
    rows: dict[str, Any] = {
        "file": f"{shown(model)} ({file_size(model) / 2**20:.1f} MiB, written "
        f"{manifest.created[:10]})",
        "method": manifest.method,
        "teacher": manifest.teacher.name
        + ("" if manifest.teacher.pretrained else " with RANDOM weights: it finds no defects"),
        "input": f"{size['height']}×{size['width']} pixels, "
        + _looks(manifest.config.get("coarse"))
        + _bits(size["bit_depth"], (training.get("pictures") or {}).get("deep"))
        + _tiles(size.get("tiling")),
        "aligned": _references(size.get("alignment")),
        "looked at": _regions(size.get("roi")),
        "cropped": _frame(size.get("crop")),
        "products": ", ".join(manifest.products),
        "trained on": f"{training.get('training_images', '?')} good images",
        "learned since": ", ".join(
            f"{entry['images']} of {entry['product']}" for entry in training.get("learned", [])
        )
        or None,
        "speed": _speed_line(training.get("speed")),
    }
    if manifest.export is not None:
        rows["exported"] = _export_line(manifest.export, all=all)
    if all:
        rows |= {
            "settings": ", ".join(f"{name}={value}" for name, value in manifest.config.items()),
            "training": f"seed {training.get('seed', '?')}, {training.get('seconds', '?')} s, "
            f"layout {training.get('layout', '?')}",
            "versions": ", ".join(f"{name} {value}" for name, value in manifest.versions.items()),
            "schema": f"{manifest.schema_version}, written {manifest.created}",
            "digest": manifest.digest,
        }
    if manifest.teacher.name == "none":
        rows["teacher"] = "no teacher"
    table = Table(show_header=False, box=None)
    for name, value in rows.items():
        if value is None:
            continue
        table.add_row(f"[bold]{name}", plain(str(value)))
    Console().print(table)
    _print_limits(model, manifest.calibration, learned=bool(training.get("cross_fitted")))


def _bits(depth: int, deep: bool | None) -> str:
    """Bits of the pictures it has learned; what is in use counts for 16-bit ones alone."""
    return f"{'up to ' if deep is None else ''}{depth if deep is not False else 8} bits"


def _looks(coarse: int | None) -> str:
    """That pictures are looked at once more, shrunk to about so many pixels squared."""
    return f"shrunk to about {coarse}² for a look at the whole, " if coarse else ""


def _tiles(tiling: dict[str, Any] | None) -> str:
    if tiling is None:
        return ""
    seen = "at their own size" if tiling["scale"] == 1 else f"at {tiling['scale']:g} of their size"
    whole = ", and as a whole" if "coarse" in tiling else ""
    return f"; pictures {seen}, in tiles that overlap by {tiling['overlap']} or more{whole}"


def _regions(masks: dict[str, str] | None) -> str | None:
    if masks is None:
        return None
    from blemish.data.images.roi import RegionOfInterest

    roi = RegionOfInterest.from_json(masks)
    shares = [f"{100 * roi.share(name):.0f} %" + (f" of {name}" if name else "") for name in masks]
    return f"{', '.join(shares)}, by region of interest"


def _frame(crop: dict[str, Any] | None) -> str | None:
    if crop is None:
        return None
    where = "around each part" if None in crop["middles"].values() else "at a fixed place"
    return f"to {100 * crop['height']:.0f} % of the height and {100 * crop['width']:.0f} %" + (
        f" of the width, {where}"
    )


def _references(alignment: dict[str, Any] | None) -> str | None:
    """To which pictures; the manifest is shown where OpenCV is not installed too."""
    if alignment is None:
        return None
    each = [
        (f"{name}: " if name else "")
        + ("as they lie" if own is None else f"to {own['name']}, from correlation {own['limit']}")
        for name, own in alignment.items()
    ]
    return "; ".join(each)


def _speed_line(speed: dict[str, Any] | None) -> str | None:
    """The point of the dial; ``None`` where none counted, or from a version without one."""
    if speed is None:
        return None
    parts = speed.get("keeps") or ["?"]
    return str(speed.get("name", "?")) + ("" if len(parts) == 2 else f", only its {parts[0]}")


def _export_line(entry: ExportEntry, *, all: bool) -> str:
    parity = entry.parity
    line = f"{entry.format}, {entry.precision}"
    if all:
        line += f", from the trained model {entry.source_digest[:12]}…"
    if parity and all:
        line += (
            f"; compared on {parity.get('source', '?')}: largest relative difference of a score "
            f"{parity.get('score', float('nan')):.2g}, of a map "
            f"{parity.get('anomaly_map', float('nan')):.2g}"
        )
    return line + ("; limits from its own scores" if entry.recalibrated else "")


def _print_limits(model: Path, content: dict[str, Any] | None, *, learned: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from blemish.calibration import Calibration
    from blemish.calibration.limit_setters import limit_setters

    if content is None:
        print_notes([Important("Not calibrated: it gives scores but no verdicts.")])
        return
    calibration = Calibration.from_json(content)
    table = Table(header_style="bold")
    limit_columns = ("unsure above", "defect above", "false alarms", "set by")
    for heading in ("limits of", "good images", *limit_columns):
        table.add_column(heading)
    setters = {found.product: found for found in limit_setters(calibration)}
    names: list[str | None] = [*calibration.products]
    if len(names) != 1:
        names.append(None)
    for name in names:
        limits = calibration.limits(name)
        table.add_row(
            plain(name or "unknown product"),
            f"{limits.n}" + (f" of {limits.groups} groups" if limits.groups < limits.n else ""),
            f"{limits.unsure:.4g}",
            f"{limits.defect:.4g}" + (" (estimate)" if limits.estimated else ""),
            f"≤ {100 * limits.defect_rate:.3g} %",
            plain(", ".join(setters[name].names) if name in setters else ""),
        )
    Console().print(table)
    print_notes(calibration.notes(learned=learned), {"MODEL": shlex.quote(str(model))})
