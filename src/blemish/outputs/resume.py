"""Resuming a run: what was written before it was killed is kept, and done once.

A row is written last, after the image's pictures: an image whose row stands in every file of the
run is done. Everything else is done again, so that each image ends up in each file exactly once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blemish._files import atomic_write
from blemish.data.sample import Sample
from blemish.errors import ConfigError
from blemish.outputs.lines import LineSink, WrittenLine
from blemish.stores.urls import absolute

if TYPE_CHECKING:
    from blemish.outputs.tally import Tally


class Done:
    """Which images an earlier run has judged, by the names of their rows; each row counts once."""

    def __init__(self, rows: Counter[str] | None = None) -> None:
        self.rows = Counter(rows or {})

    def take(self, path: Path) -> bool:
        """Whether the image is done; a second image of the same name needs a second row."""
        name = _row_name(path)
        if self.rows[name] <= 0:
            del self.rows[name]
            return False
        self.rows[name] -= 1
        return True

    def split(self, samples: Iterable[Sample]) -> tuple[list[Sample], list[Sample]]:
        """The samples that are done, and those that are left, each in order."""
        done: list[Sample] = []
        left: list[Sample] = []
        for sample in samples:
            (done if self.take(sample.path) else left).append(sample)
        return done, left


def take_up(sinks: Sequence[LineSink], tally: Tally) -> Done:
    """Read what an earlier run wrote, and leave in its files only what is done.

    A last line that was cut short, rows of images that could not be judged, and rows that stand in
    one file but not in the other are removed: those images are judged again. A file that is not
    there counts as empty. Files are replaced whole or not at all. ``tally`` gets the rows that
    stay; ``sinks`` are those of the run, not yet entered.

    Raises:
        ConfigError: A file is none of this command's, or another model wrote it.
    """
    counts = [
        Counter(_row_name(line.judged.path or "") for line in _checked(sink) if line.judged)
        if sink.path.exists()
        else Counter[str]()
        for sink in sinks
    ]
    common = counts[0].copy()
    for other in counts[1:]:
        common &= other
    for number, sink in enumerate(sinks):
        if sink.path.exists():
            _keep(sink, common, tally if number == 0 else None)
    return Done(common)


def _checked(sink: LineSink) -> Iterator[WrittenLine]:
    for line in sink.read():
        if line.model != sink.model:
            raise ConfigError(
                f"Cannot go on with {sink.path}: its rows come from another model or other limits "
                f"({line.model[:12] or 'not named'}), this model is {sink.model[:12]}. Verdicts "
                "of two models do not belong in one file: use the first model, name another file, "
                "or leave out --resume to replace it."
            )
        yield line


def _keep(sink: LineSink, common: Counter[str], tally: Tally | None) -> None:
    """Rewrite a file with the rows of images that are done."""
    left = common.copy()
    with atomic_write(sink.path) as file:
        file.write(sink.header.encode())
        for line in _checked(sink):
            if line.judged is None or left[name := _row_name(line.judged.path or "")] <= 0:
                continue
            left[name] -= 1
            file.write(line.text.encode("utf-8", "surrogateescape"))
            if tally is not None:
                tally.add(line.judged)


def _row_name(path: Path | str) -> str:
    """The name under which an image and its row find each other, however the folder was named."""
    # A name that is no UTF-8 stands in CSV with its bytes escaped.
    text = str(path).encode(errors="backslashreplace").decode()
    return str(absolute(text))
