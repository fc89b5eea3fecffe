"""Branches seen: what a run has to say of branches that object to pictures whose verdict is ok."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from blemish.calibration.limit_notes import percent
from blemish.outputs.lines import VerdictRow

if TYPE_CHECKING:
    from blemish.calibration import Calibration

#: Names of pictures that the note gives; the table has all of them.
_NAMED = 3


class BranchesSeen:
    """Counts the pictures that are ``ok`` as a whole and a ``defect`` to a branch.

    The verdict follows from the one score, to keep the rate that it promises; a branch that counts
    little in that score may be beyond a limit of its own all the same, and that must be seen.

    Attributes:
        overruled: Number of such pictures by branch.

    Example:
        >>> from pathlib import Path
        >>> from blemish.outputs.branches_seen import BranchesSeen
        >>> from blemish.outputs.lines import VerdictRow
        >>> from blemish.results import Branch
        >>> seen = BranchesSeen()
        >>> odd = {"logical": Branch(9.0, 0.01, "defect")}
        >>> seen.add(VerdictRow(Path("a.png"), "nut", "ok", 0.1, 0.5, odd))
        >>> seen.notes()[0][:69]
        "1 image is 'ok' although the branch logical is beyond its own limit: "
    """

    def __init__(self) -> None:
        self.overruled: Counter[str] = Counter()
        self._pictures = 0
        self._branches = 1
        self._examples: list[str] = []

    def add(self, row: VerdictRow) -> None:
        """Count one more image."""
        objecting = [name for name, found in row.branches.items() if found.verdict == "defect"]
        if row.verdict != "ok" or not objecting:
            return
        self.overruled.update(objecting)
        self._pictures += 1
        self._branches = len(row.branches)
        if row.path is not None and len(self._examples) < _NAMED:
            self._examples.append(row.path.name)

    def notes(self, calibration: Calibration | None = None) -> list[str]:
        """One sentence where there are such pictures, with what chance alone would give."""
        count = self._pictures
        if not count:
            return []
        names = " or ".join(sorted(self.overruled))
        more = f" and {count - len(self._examples)} more" if count > len(self._examples) else ""
        usual = ""
        if calibration is not None:
            products = calibration.products or (None,)
            rate = self._branches * max(calibration.limits(p).defect_rate for p in products)
            usual = f" Up to {percent(rate)} of good images have such a branch."
        return [
            f"{count} image{' is' if count == 1 else 's are'} 'ok' although the branch {names} is "
            f"beyond its own limit: {', '.join(self._examples)}{more}. The verdict is that of the "
            f"whole score, which keeps the rate; look at them where you can.{usual}"
        ]
