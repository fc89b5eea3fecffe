"""``--send``: verdicts to the line, as ``predict`` and ``serve`` have it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from blemish.delivery.courier import Couriers

Send = Annotated[
    list[str] | None,
    typer.Option(
        help="Where each verdict goes: http(s)://…, mqtt(s)://HOST/TOPIC, folder:PATH or csv:FILE, "
        "with #verdict=defect,unsure&every=10 and the like behind it. Repeatable."
    ),
]
SpoolFolder = Annotated[
    Path | None, typer.Option(help="--send: folder where verdicts wait. Default: MODEL.spool")
]


def couriers_of(send: list[str] | None, model: Path, spool: Path | None) -> Couriers | None:
    """Who brings verdicts to the targets; ``None`` where there are none."""
    if not send:
        return None
    from blemish.delivery.courier import Couriers

    def note(text: str) -> None:
        print(f"Note: {text}", file=sys.stderr, flush=True)

    folder = spool or model.with_name(f"{model.name}.spool")
    return Couriers(send, model=model.name, folder=folder, on_note=note)
