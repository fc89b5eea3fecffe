"""``blemish trend``: has the line changed since the limits were set?"""

from __future__ import annotations

import math
import sys
from collections import Counter
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
) -> None:
    """Shares of verdicts over time, and an alarm for drift, by product.

    The alarm is a conformal test martingale: while parts are like the first ones, it rings with at
    most the probability named, over any length of time. Defects do not ring it. Exit code 1 when it
    rings.
    """
    from rich.console import Console
    from rich.table import Table

    from blemish.calibration import Calibration
    from blemish.calibration.drift import FEWEST, DriftMartingale
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
    known = {group.product: group for group in calibration.groups}
    console, rung = Console(highlight=False), False
    for product, judged in products.items():
        name = product or "all pictures"
        group = known.get(product)
        if group is None and product is None and len(known) == 1:  # rows of one product name none
            group = next(iter(known.values()))
        if group is None:
            console.print(f"{name}: {len(judged)} pictures, of no product with limits; left out.")
            continue
        limit = calibration.limits(product).defect
        before = [row.score for row in judged[:first]] if first else group.scores
        if sum(score < limit for score in before) < FEWEST or len(judged) <= first:
            console.print(
                f"{name}: {len(judged)} pictures, too few to tell a change by. Expected more than "
                f"--first, and {FEWEST} of those below the limit."
            )
            continue
        # Scores by which the limit was cross-fitted lie a little above those of new parts, which
        # is a difference, and no change: so the first parts are compared with by default.
        watch, rang, table = DriftMartingale(before, limit), 0, Table(title=name)
        for column in ("pictures", "ok", "unsure", "defect", "evidence of a change"):
            table.add_column(column, justify="right")
        for start in range(0, len(judged), every):
            some = judged[start : start + every]
            for number, row in enumerate(some, start + 1):
                if number > first:
                    watch.add(row.score)
                rang = rang or (number if watch.rings(false_alarm_rate) else 0)
            count = Counter(row.verdict for row in some)
            shares = (f"{100 * count[v] / len(some):.1f} %" for v in ("ok", "unsure", "defect"))
            table.add_row(f"{start + 1}–{start + len(some)}", *shares, _odds(watch.evidence))
        console.print(table)
        if rang:
            rung = True
            console.print(
                f"{name} has changed: evidence of {_odds(watch.highest)}, first above "
                f"{_odds(-math.log10(false_alarm_rate))} at picture {rang}, "
                f"{judged[rang - 1].path}. "
                "Compare pictures before and after; then calibrate with good ones of now."
            )
        else:
            console.print(f"{name}: no sign of a change.")
    if rung:
        sys.exit(1)


def _odds(evidence: float) -> str:
    """log10 of a capital in words: "250 : 1"."""
    if evidence <= 0:
        return "none"
    return f"{10**evidence:,.0f} : 1" if evidence < 6 else f"10^{evidence:.0f} : 1"
