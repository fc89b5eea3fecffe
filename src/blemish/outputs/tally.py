"""Tally: verdicts counted, and the worst images in a table, for the end of a run."""

from __future__ import annotations

import math
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from blemish._progress import printable
from blemish.outputs.branches_seen import BranchesSeen
from blemish.outputs.lines import VerdictRow
from blemish.outputs.products_seen import ProductsSeen, shown_product
from blemish.results import Prediction, Verdict
from blemish.stores.urls import absolute, shown

if TYPE_CHECKING:
    from blemish.outputs.parts import PartTally

SEVERITY: dict[Verdict | None, int] = {"defect": 0, "unsure": 1, "ok": 2, None: 3}
STYLES: dict[Verdict | None, str] = {
    "defect": "bold red",
    "unsure": "yellow",
    "ok": "green",
    None: "dim",
}


class Tally:
    """Counts verdicts and keeps the worst ``limit``, in memory that does not grow with the images.

    Args:
        limit: Longest table.
        parts: Is told of each image, and then decides the exit code.

    Attributes:
        verdicts: Number of images by verdict.
        failures: Number of images that could not be judged.
        products: Number of images by product, and those that look like another.
        branches: Images that are ok and a defect to a branch.
        root: The deepest folder that holds all judged images; ``None`` where there is none.
    """

    def __init__(self, *, limit: int = 20, parts: PartTally | None = None) -> None:
        self.limit = max(limit, 0)
        self.parts = parts
        self.verdicts: Counter[Verdict | None] = Counter()
        self.failures = 0
        self.products = ProductsSeen()
        self.branches = BranchesSeen()
        self.root: Path | None = None
        self._rootless = False
        self._kept: list[VerdictRow] = []

    def add(self, prediction: Prediction | VerdictRow) -> None:
        """Count one more image."""
        judged = prediction if isinstance(prediction, VerdictRow) else VerdictRow.of(prediction)
        self.verdicts[judged.verdict] += 1
        self.products.add(judged)
        self.branches.add(judged)
        if judged.path is not None:
            self._widen(judged.path)
        if self.parts is not None:
            self.parts.add(judged)
        self._kept.append(judged)
        if len(self._kept) >= 2 * self.limit + 16:
            self._kept = self.worst()

    def fail(self, path: Path) -> None:
        """Count an image that could not be judged."""
        self.failures += 1
        if self.parts is not None:
            self.parts.fail(path)

    def worst(self) -> list[VerdictRow]:
        """The worst images, at most ``limit``, the worst first."""
        return sorted(self._kept, key=_severity)[: self.limit]

    @property
    def exit_code(self) -> int:
        """0 all ok, 1 a defect or unsure, 2 an image could not be judged."""
        if self.failures:
            return 2
        if self.parts is not None:
            return self.parts.exit_code
        return 1 if self.verdicts["defect"] or self.verdicts["unsure"] else 0

    def summary(self) -> str:
        """How many images of which verdict, in one line."""
        count = self.verdicts.total()
        parts = [
            f"{self.verdicts[v]} {v or 'without verdict'}" for v in SEVERITY if self.verdicts[v]
        ]
        text = f"{count} image{'' if count == 1 else 's'}"
        return text + (f": {', '.join(parts)}" if parts else "")

    def table(self) -> Table:
        """The worst images as a table, with a line that sums up all of them.

        Paths are shown below the images' common folder, which stands in the title.
        """
        worst = self.worst()
        root = self.root
        names = ["–" if p.path is None or root is None else _below(p.path, root) for p in worst]
        # A product that is one of the folders is named already.
        products = any(
            p.product is not None and p.product not in Path(name).parts
            for p, name in zip(worst, names, strict=True)
        )
        branches = tuple(dict.fromkeys(name for judged in worst for name in judged.branches))
        table = Table(
            box=box.SIMPLE_HEAD, caption_justify="left", title_justify="left", header_style="bold"
        )
        if root is not None:
            table.title = Text(printable(f"Images in {shown(root)}"))
        table.add_column("verdict", no_wrap=True)
        table.add_column("image", overflow="fold")
        if products:
            table.add_column("product")
        # Scores of different products do not compare, and leave no room beside what does.
        beyond = all(p.times_limit is not None for p in worst)
        for name in ("p-value", "× limit" if beyond else "score", "areas"):
            table.add_column(name, justify="right", no_wrap=True)
        if branches:
            # Not their scores, which would leave no room for the image's name.
            table.add_column("by", no_wrap=True)
        for p, name in zip(worst, names, strict=True):
            numbers = ["–" if p.p_value is None else f"{p.p_value:.3g}"]
            far = p.times_limit if beyond else None
            numbers.append(f"{p.score:.4g}" if far is None else _rounded(far))
            words = [name]
            words += [shown_product(p)] if products else []
            # Text, not markup: a file may be called "[red].png".
            table.add_row(
                Text(p.verdict or "–", style=STYLES[p.verdict]),
                *(Text(printable(word)) for word in (*words, *numbers)),
                Text(str(p.areas)),
                *([_objecting(p)] if branches else []),
            )
        table.caption = self.summary()
        if len(worst) < self.verdicts.total():
            table.caption += f"; the {len(worst)} worst are shown" if worst else "; none shown"
        if self.failures:
            table.caption += f"; {self.failures} could not be judged"
        return table

    def _widen(self, path: Path) -> None:
        """Make :attr:`root` hold this file too."""
        folder = str(absolute(path).parent)  # links stay
        if self.root is None and not self._rootless:
            self.root = Path(folder)
        elif self.root is not None and folder != str(self.root):
            try:
                self.root = Path(os.path.commonpath([str(self.root), folder]))
            except ValueError:  # on different drives
                self.root, self._rootless = None, True


def times(times_limit: float) -> str:
    """How far beyond the limit, in words: ``2.41 × limit``."""
    return f"{_rounded(times_limit)} × limit"


def _rounded(times_limit: float) -> str:
    # The side of the limit is what it says: neither 1.0004 nor 0.9996 may read as 1.
    for digits in range(3, 18):
        text = f"{times_limit:.{digits}g}"
        if (float(text) > 1, float(text) < 1) == (times_limit > 1, times_limit < 1):
            break
    return text


def _severity(judged: VerdictRow) -> tuple[int, bool, float, float, float, str]:
    """Sorts the worst first: by verdict, among those that are ok the ones that are a defect to some
    branch, then times the limit, then p-value, then score.

    Scores of different products do not compare, so they come last.
    """
    defect_to_some = any(branch.verdict == "defect" for branch in judged.branches.values())
    return (
        SEVERITY[judged.verdict],
        judged.verdict == "ok" and not defect_to_some,
        math.inf if judged.times_limit is None else -judged.times_limit,
        1.0 if judged.p_value is None else judged.p_value,
        -math.inf if math.isnan(judged.score) else -judged.score,
        str(judged.path),
    )


def _objecting(judged: VerdictRow) -> Text:
    """The branches that object, each in its verdict's colour."""
    named = [
        Text(printable(name), STYLES[branch.verdict])
        for name, branch in judged.branches.items()
        if branch.verdict not in ("ok", None)
    ]
    return Text("\n").join(named)


def _below(path: Path, root: Path) -> str:
    whole = absolute(path)  # links stay as the user named them
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else shown(path)


def verdict_line(judged: VerdictRow) -> Text:
    """One image on one line: verdict, p-value, score, path."""
    p = "–" if judged.p_value is None else f"{judged.p_value:.3g}"
    line = Text(f"{judged.verdict or '–':<9}", style=STYLES[judged.verdict])
    line.append(f"p {p:<8}score {judged.score:<9.4g}", style="default")
    return line.append(printable(shown(judged.path or "")), style="default")
