"""``blemish trend``: has the line changed since the limits were set?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from blemish.cli.common import ModelFile


def trend(
    model: ModelFile,
    rows: Annotated[
        list[Path],
        typer.Argument(help="What `predict` wrote with it, oldest first: --csv, --json or --out."),
    ],
    false_alarm_rate: Annotated[
        float,
        typer.Option(min=1e-9, max=0.5, help="Probability of ever ringing while nothing changes."),
    ] = 0.01,
    first: Annotated[
        int,
        typer.Option(
            min=0,
            help="Pictures at the beginning that stand for how it was, by product. 0: the good "
            "images that calibrated, which must have been held out.",
        ),
    ] = 100,
    every: Annotated[
        int, typer.Option(min=1, help="Parts per line of the table, after which it is drawn anew.")
    ] = 200,
    look: Annotated[
        bool,
        typer.Option(
            "--look",
            help="Read the pictures too, where they still lie: brightness, sharpness and colour.",
        ),
    ] = False,
) -> None:
    """Shares of verdicts over time, and an alarm for drift, by product.

    The alarm is a conformal test martingale: while parts are like the first ones, it rings with at
    most the probability named, over any length of time. Defects do not ring it. Exit code 1 when it
    rings.
    """
    from rich.console import Console
    from rich.table import Table

    from blemish.calibration import Calibration
    from blemish.calibration.drift import FEWEST
    from blemish.calibration.trend import TrendWatch, odds
    from blemish.errors import ConfigError
    from blemish.model_file.bundle import model_manifest
    from blemish.outputs.rows import JudgedRow, read_rows

    # Nothing is judged, so that nothing has to be built: no wait for torch.
    limits = model_manifest(model).calibration
    if limits is None:
        raise ConfigError(
            "The model is not calibrated: there is nothing to compare with. Run `blemish calibrate "
            "MODEL GOOD_DIR`."
        )
    calibration = Calibration.from_json(limits)
    products: dict[str | None, list[JudgedRow]] = {}
    for path in rows:
        for row in read_rows(path):
            products.setdefault(row.product, []).append(row)
    console, rung = Console(highlight=False), False
    for product, judged in products.items():
        name = product or "all pictures"
        # Scores by which the limit was cross-fitted lie a little above those of new parts, which
        # is a difference, and no change: so the first parts are compared with by default.
        watch = TrendWatch(calibration, product, first=first, every=every, rate=false_alarm_rate)
        if not watch.known:
            console.print(f"{name}: {len(judged)} pictures, of no product with limits; left out.")
            continue
        for row in judged:
            watch.add(row.path, row.verdict, {"score": row.score, **_looks(row.path, look)})
        if not watch.watching:
            console.print(
                f"{name}: {len(judged)} pictures, too few to tell a change by. Expected more than "
                f"--first, and {FEWEST} of those below the limit."
            )
            continue
        table = Table(title=name)
        for column in ("pictures", "ok", "unsure", "defect", "evidence of a change"):
            table.add_column(column, justify="right")
        for some in watch.stretches:
            count = some.end - some.start + 1
            shares = (f"{100 * some.counts[v] / count:.1f} %" for v in ("ok", "unsure", "defect"))
            table.add_row(f"{some.start}–{some.end}", *shares, odds(some.evidence))
        console.print(table)
        if len(watch.by_measure) > 1:
            found = (f"{measure} {odds(value)}" for measure, value in watch.by_measure.items())
            console.print(f"{name}, evidence by each alone: {', '.join(found)}.")
        if watch.rang:
            rung = True
            number, picture = watch.rang
            console.print(
                f"{name} has changed: evidence of {odds(watch.highest)}, first above "
                f"{odds(watch.threshold)} at picture {number}, {picture}. "
                "Compare pictures before and after; then calibrate with good ones of now."
            )
        else:
            console.print(f"{name}: no sign of a change.")
    if rung:
        sys.exit(1)


def _looks(path: str, look: bool) -> dict[str, float]:
    """How the picture looks, where that is asked for and it can still be read."""
    if not look:
        return {}
    from blemish.data.images.appearance import appearance
    from blemish.data.images.reading import read_image
    from blemish.errors import ImageError

    try:
        return appearance(read_image(path))._asdict()
    except ImageError:
        return {}
