"""``blemish lot``: parts of several views, and a lot as a whole, from what `predict` wrote."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blemish.cli.common import write_text

if TYPE_CHECKING:
    from blemish.outputs.rows import JudgedRow


def lot(
    rows: Annotated[
        Path, typer.Argument(help="What `predict` wrote: a file of --csv or --json, or --out.")
    ],
    part_id: Annotated[
        str | None,
        typer.Option(
            help="Regular expression for the part in the file's name, such as 'part([0-9]+)'; its "
            "pictures are views of one part. Default: each picture is a part."
        ),
    ] = None,
    fdr: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of good parts among those called, at most."),
    ] = 0.1,
    csv: Annotated[Path | None, typer.Option(help="Write part, p-value and verdict.")] = None,
) -> None:
    """Which parts of a lot are defective, at a false discovery rate.

    At most that share of the parts called defective is good, in the mean over lots. A part's
    p-value is the smallest of its views' times their number. Exit code 1 when any is called.
    """
    from rich.console import Console
    from rich.markup import escape

    from blemish.calibration.lots import false_discoveries, part_p_value
    from blemish.errors import ConfigError
    from blemish.outputs.rows import read_rows

    judged = read_rows(rows)
    views = _views(judged, part_id)
    if not views:
        raise ConfigError(f"{rows} holds no picture that was judged.")
    if fdr in (0.0, 1.0):
        raise ConfigError(f"--fdr {fdr:g} is no rate. Expected one between 0 and 1, such as 0.1.")
    p_values = {part: part_p_value(found) for part, found in views.items()}
    called = false_discoveries(list(p_values.values()), fdr)
    defective = [part for part, bad in zip(p_values, called, strict=True) if bad]
    if csv is not None:
        write_text(csv, _table(p_values, set(defective), views))
    console = Console(highlight=False)
    for part in sorted(defective, key=lambda part: (p_values[part], part))[:20]:
        console.print(f"{escape(part)}: p = {p_values[part]:.3g}, {len(views[part])} view(s)")
    if len(defective) > 20:
        console.print(f"… and {len(defective) - 20} more" + ("" if csv else "; --csv has all"))
    smallest = min(p_values.values())
    console.print(
        f"{len(views)} parts of {len(judged)} pictures: {len(defective)} called defective at a "
        f"false discovery rate of {fdr:g}."
    )
    if not defective and smallest > fdr / len(views):
        console.print(
            f"The smallest p-value is {smallest:.3g}. One part alone needs {fdr / len(views):.2g} "
            "in a lot of this size: p-values end at 1 / (good images + 1), so that more good "
            "images, or smaller lots, let it call more."
        )
    if defective:
        sys.exit(1)


def _views(judged: list[JudgedRow], part_id: str | None) -> dict[str, list[float]]:
    """P-values by part, in order of first appearance."""
    from blemish.errors import ConfigError

    try:
        pattern = None if part_id is None else re.compile(part_id)
    except re.error as error:
        raise ConfigError(f"--part-id {part_id!r} is no regular expression: {error}.") from error
    views: dict[str, list[float]] = {}
    for row in judged:
        if row.p_value is None:
            raise ConfigError(
                f"{row.path} has no p-value: the model was not calibrated. Run `blemish calibrate "
                "MODEL GOOD_DIR`, and judge again."
            )
        part = row.path
        if pattern is not None:
            found = pattern.search(Path(row.path).name) or pattern.search(row.path)
            if found is None:
                raise ConfigError(f"--part-id {part_id!r} finds no part in {row.path}.")
            part = found[1] if pattern.groups else found[0]
        views.setdefault(part, []).append(row.p_value)
    return views


def _table(p_values: dict[str, float], defective: set[str], views: dict[str, list[float]]) -> str:
    from blemish.outputs.csv_jsonl import csv_line

    lines = [csv_line(["part", "views", "p_value", "verdict"])]
    for part, p_value in p_values.items():
        verdict = "defect" if part in defective else "ok"
        lines.append(csv_line([part, len(views[part]), p_value, verdict]))
    return "".join(lines)
