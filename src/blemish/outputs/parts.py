"""Parts and lots of a run: a verdict per part of several views, and of a lot as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from blemish._progress import printable
from blemish.calibration import Calibration
from blemish.calibration.lots import false_discoveries
from blemish.calibration.parts import PartsUnderWay, PartVerdict, View
from blemish.data.grouping import name_pattern
from blemish.errors import ConfigError
from blemish.outputs.csv_jsonl import csv_line
from blemish.outputs.lines import VerdictRow
from blemish.outputs.tally import SEVERITY, STYLES
from blemish.results import Verdict
from blemish.stores.urls import shown


class PartTally:
    """Gathers a run's pictures by part, and counts the verdicts of parts.

    Args:
        calibration: Whose rates decide.
        part_id: Regular expression for the part in a picture's name; ``None``: each is a part.
        views: Pictures of each part, where they come one by one and nobody knows how many there
            will be; ``None``: as many as :meth:`expect` was told, and an earlier run judged.
        fdr: Share of good parts among those called defective, at most; ``None``: nothing is called.
        limit: Longest table.

    Attributes:
        on_part: Called with each part that is finished.

    Raises:
        ConfigError: No limits, no regular expression, no rate.
    """

    def __init__(
        self,
        calibration: Calibration | None,
        *,
        part_id: str | None = None,
        views: int | None = None,
        fdr: float | None = None,
        limit: int = 20,
    ) -> None:
        if calibration is None:
            raise ConfigError(
                "Parts and lots are judged by p-values, and this model is not calibrated. Run: "
                "blemish calibrate MODEL GOOD_DIR"
            )
        if fdr is not None and not 0 < fdr < 1:
            raise ConfigError(f"--fdr {fdr:g} is no rate. Expected one between 0 and 1, as 0.1.")
        self.part_id, self.fdr, self.limit = part_id, fdr, limit
        self.verdicts: Counter[Verdict] = Counter()
        self.on_part: Callable[[PartVerdict], None] = lambda found: None
        self._limits, self._views = calibration, views
        self._name = None if part_id is None else name_pattern(part_id, "--part-id")
        self._expected: Counter[str] = Counter()
        self._under_way = PartsUnderWay(live=views is not None)
        # Of an earlier run, until it is known what is still to come.
        self._earlier: dict[str, list[View]] | None = None if views or part_id is None else {}
        self._found: list[PartVerdict] = []

    def check(self, paths: Iterable[Path]) -> None:
        """Say which pictures there are.

        Raises:
            ConfigError: One whose name says no part.
        """
        for path in paths if self._name is not None else ():
            if self.part_of(path) is None:
                raise ConfigError(
                    f"--part-id '{self.part_id}' finds no part in {shown(path)}. Expected a "
                    "regular expression that is found in the name or path of every picture, such "
                    "as 'part([0-9]+)'; leave other pictures out."
                )

    def expect(self, paths: Iterable[Path]) -> None:
        """Say which pictures will come, behind those of an earlier run, which has told of its own.

        Raises:
            ConfigError: One whose name says no part.
        """
        if self._name is None:
            return
        left = list(paths)
        self.check(left)
        self._expected.update(part for path in left if (part := self.part_of(path)) is not None)
        earlier, self._earlier = self._earlier or {}, None
        for part, seen in earlier.items():
            self._expected[part] += len(seen)
            for found in self._under_way.add(part, seen, self._limits, views=self._expected[part]):
                self._count(found)

    def part_of(self, path: Path | None) -> str | None:
        """The part that a picture shows; ``None`` where its name does not say."""
        if path is None or self._name is None:
            return None if path is None else shown(path)
        return self._name(path)

    def views_of(self, part: str) -> int:
        """How many pictures it has."""
        return self._views or max(1, self._expected[part])

    def add(self, judged: VerdictRow) -> None:
        """Count one more picture."""
        self._add(judged.path, judged.product, judged.verdict, judged.p_value, judged.score)

    def fail(self, path: Path) -> None:
        """Count a picture that could not be judged."""
        self._add(path)

    def close(self) -> None:
        """Judge the parts of which pictures are missing, too."""
        self.expect(())
        for found in self._under_way.rest():
            self._finish(found)

    @property
    def exit_code(self) -> int:
        """0 where nothing is wrong: at the rate of :attr:`fdr`, or else by the parts' verdicts."""
        if self.fdr is not None:
            return 1 if any(self._called()) else 0
        return 1 if self.verdicts["defect"] or self.verdicts["unsure"] else 0

    def csv(self) -> str:
        """A line per part; with :attr:`fdr` also whether it is called defective, 1 or 0."""
        names = ["part", "product", "views", "p_value", "verdict"]
        lines = [csv_line(names + (["called"] if self.fdr else []))]
        for found, called in zip(self._found, self._called(), strict=True):
            cells = [found.part, found.product, found.views, found.p_value, found.verdict]
            lines.append(csv_line(cells + ([int(called)] if self.fdr else [])))
        return "".join(lines)

    def table(self) -> Table:
        """The worst parts, and a line that sums up all of them."""
        worst = sorted(self._found, key=_severity)[: self.limit]
        table = Table(
            box=box.SIMPLE_HEAD, caption_justify="left", title_justify="left", header_style="bold"
        )
        table.title = "Parts"
        table.add_column("verdict", no_wrap=True)
        table.add_column("part", overflow="fold")
        for name in ("views", "p-value"):
            table.add_column(name, justify="right", no_wrap=True)
        for found in worst:
            table.add_row(
                Text(found.verdict, style=STYLES[found.verdict]),
                Text(printable(found.part)),
                *(str(found.views), f"{found.p_value:.3g}"),
            )
        total = self.verdicts.total()
        parts = [f"{self.verdicts[v]} {v}" for v in ("defect", "unsure", "ok") if self.verdicts[v]]
        table.caption = f"{total} part{'' if total == 1 else 's'}: {', '.join(parts)}"
        if len(worst) < total:
            table.caption += f"; the {len(worst)} worst are shown" if worst else "; none shown"
        return table

    def lot(self) -> list[str]:
        """What the false discovery rate says of all of them, in sentences."""
        if self.fdr is None or not self._found:
            return []
        what = "pictures" if self.part_id is None else "parts"
        called = [found for found, bad in zip(self._found, self._called(), strict=True) if bad]
        said = f"{len(called)} of {len(self._found)} {what} called defective at a false discovery "
        said += f"rate of {self.fdr:g}"
        if called:
            first = [found.part for found in sorted(called, key=_severity)[: self.limit]]
            if self.part_id is None:  # a picture's file and its folder are enough to find it
                first = ["/".join(Path(part).parts[-2:]) for part in first]
            more = f" and {len(called) - len(first)} more" if len(called) > len(first) else ""
            return [f"{said}: {', '.join(map(printable, first))}{more}."]
        least, smallest = self.fdr / len(self._found), min(found.p_value for found in self._found)
        if smallest <= least:
            return [f"{said}."]
        return [
            f"{said}. The smallest p-value is {smallest:.3g}; one alone needs {least:.2g} in a lot "
            "of this size: p-values end at 1 / (good images + 1), so that more good images, or "
            "smaller lots, let it call more."
        ]

    def _add(
        self,
        path: Path | None,
        product: str | None = None,
        verdict: Verdict | None = None,
        p_value: float | None = None,
        score: float | None = None,
    ) -> None:
        part = self.part_of(path)
        if part is None:  # on a line: it is judged by itself
            return
        view = View(shown(path or ""), product, verdict, p_value, score)
        if self._earlier is not None:
            self._earlier.setdefault(part, []).append(view)
            return
        for found in self._under_way.add(part, [view], self._limits, views=self.views_of(part)):
            self._finish(found)

    def _finish(self, found: PartVerdict) -> None:
        self.on_part(found)
        self._count(found)

    def _count(self, found: PartVerdict) -> None:
        self.verdicts[found.verdict] += 1
        self._found.append(found)
        # A lot needs all of them. A line that never ends has only its worst ones to show.
        if self._views and len(self._found) >= 2 * self.limit + 16:
            self._found = sorted(self._found, key=_severity)[: self.limit]

    def _called(self) -> list[bool]:
        if self.fdr is None:
            return [False] * len(self._found)
        return false_discoveries([found.p_value for found in self._found], self.fdr).tolist()


def _severity(found: PartVerdict) -> tuple[int, float, str]:
    return SEVERITY[found.verdict], found.p_value, found.part
