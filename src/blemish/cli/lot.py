"""``--part-id`` and ``--fdr`` of ``predict``: parts of several views, and a lot as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from blemish.cli.common import write_text
from blemish.errors import ConfigError

if TYPE_CHECKING:
    from blemish.calibration import Calibration
    from blemish.outputs.parts import PartTally

PartId = Annotated[
    str | None,
    typer.Option(
        help="Regular expression for the part in a file's name, such as 'part([0-9]+)': its "
        "pictures are views of one part, which has a verdict of its own."
    ),
]
Views = Annotated[
    int | None,
    typer.Option(
        min=1, help="--part-id: pictures of each part, where they are judged as they arrive."
    ),
]


class LotOptions(NamedTuple):
    """What was asked for; fields as the options."""

    part_id: str | None = None
    views: int | None = None
    fdr: float | None = None
    parts: Path | None = None

    def tally(
        self, limits: Calibration | None, pictures: Sequence[Path] | None, *, rows: int
    ) -> PartTally | None:
        """Ready to count; ``pictures`` is ``None`` where they arrive one by one.

        Raises:
            ConfigError: Options that do not go together; those of ``PartTally``.
        """
        self._check(watched=pictures is None)
        if self.part_id is None and self.fdr is None:
            return None
        from blemish.outputs.parts import PartTally

        made = PartTally(limits, part_id=self.part_id, views=self.views, fdr=self.fdr, limit=rows)
        made.check(pictures or ())
        return made

    def end(self, tally: PartTally | None) -> None:
        """Judge what is left, and write ``--parts``."""
        if tally is not None:
            tally.close()
            if self.parts is not None:
                write_text(self.parts, tally.csv())

    def show(self, tally: PartTally | None) -> None:
        """Print it."""
        if tally is None:
            return
        from rich.console import Console

        if self.part_id is not None:
            Console().print(tally.table())
        for sentence in tally.lot():
            Console(highlight=False, markup=False).print(sentence)

    def _check(self, *, watched: bool) -> None:
        if self.parts is not None and self.part_id is None and self.fdr is None:
            raise ConfigError("--parts is a table of parts: say what one is, --part-id REGEX.")
        if self.parts is not None and not self.parts.absolute().parent.is_dir():
            # It is written last: whoever waited for an hour would have nothing.
            raise ConfigError(
                f"Cannot write --parts {self.parts}: there is no folder {self.parts.parent}. "
                "Create it first, or name a file in a folder that exists."
            )
        if watched and (self.fdr is not None or self.parts is not None):
            name = "--parts" if self.fdr is None else "--fdr"
            raise ConfigError(
                f"{name} is of a lot, which has an end, and --watch has none. Leave one of them "
                "out; each part goes to --send, such as 'csv:parts.csv#of=part', at once."
            )
        if watched and self.part_id is not None and self.views is None:
            raise ConfigError(
                "--watch does not know when a part is complete. Say how many pictures each has: "
                "--views 3."
            )
        if self.views is not None and not (watched and self.part_id is not None):
            raise ConfigError(
                "--views is for --watch with --part-id; pictures that are there are counted."
            )
