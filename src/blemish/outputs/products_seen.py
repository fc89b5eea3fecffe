"""Products seen: what a run has to say of the products by whose limits it judged."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from blemish.outputs.lines import VerdictRow
from blemish.results import UNKNOWN_PRODUCT, Prediction

if TYPE_CHECKING:
    from blemish.calibration import Calibration

Pair = tuple[str, str]
#: Names of pictures that a note gives; the table has all of them.
_NAMED = 3


class ProductsSeen:
    """Counts the products of a run, and the pictures that look like another than was named.

    Attributes:
        judged: Number of images by the product whose limits judged them, ``None``: the pooled.
        recognised: Number of images by the product that the model took them for.

    Example:
        >>> from pathlib import Path
        >>> from blemish.outputs.lines import VerdictRow
        >>> from blemish.outputs.products_seen import ProductsSeen
        >>> seen = ProductsSeen()
        >>> seen.add(VerdictRow(Path("a.png"), "bottle", "ok", 0.1, 0.5, recognised="pill"))
        >>> seen.notes(named=True)
        ['1 image was named bottle and looks like pill: a.png.']
    """

    def __init__(self) -> None:
        self.judged: Counter[str | None] = Counter()
        self.recognised: Counter[str] = Counter()
        self._misnamed: Counter[Pair] = Counter()
        self._alike: Counter[Pair] = Counter()
        self._examples: dict[Pair, list[str]] = {}

    def add(self, row: VerdictRow) -> None:
        """Count one more image."""
        self.judged[row.product] += 1
        if row.recognised is not None:
            self.recognised[row.recognised] += 1
            if row.product is not None and row.product != row.recognised:
                self._count(self._misnamed, (row.product, row.recognised), row)
        if row.product is not None and row.rival is not None:
            first, second = sorted((row.product, row.rival))
            self._count(self._alike, (first, second), row)

    def _count(self, found: Counter[Pair], pair: Pair, row: VerdictRow) -> None:
        found[pair] += 1
        examples = self._examples.setdefault(pair, [])
        if row.path is not None and len(examples) < _NAMED:
            examples.append(row.path.name)

    def _listed(self, pair: Pair, count: int) -> str:
        examples = self._examples[pair]
        more = f" and {count - len(examples)} more" if count > len(examples) else ""
        return f"{', '.join(examples)}{more}"

    def notes(self, *, named: bool, calibration: Calibration | None = None) -> list[str]:
        """What the user should know of products and limits, one sentence each.

        Args:
            named: Whether a product was named for the run.
            calibration: The limits that judged.
        """
        found = []
        known = {n: c for n, c in self.recognised.most_common() if n != UNKNOWN_PRODUCT}
        if not named and known:
            counts = ", ".join(f"{count} {name}" for name, count in known.items())
            own = calibration is not None and known.keys() <= set(calibration.products)
            limits = ", each judged by its product's limits" if own else ""
            found.append(f"Recognised in the pictures: {counts}{limits}.")
        for pair, count in self._misnamed.items():
            named_as, looks = pair
            found.append(
                f"{count} image{' was' if count == 1 else 's were'} named {named_as} and "
                f"look{'s' if count == 1 else ''} like {looks}: {self._listed(pair, count)}."
            )
        for pair, count in self._alike.items():
            found.append(
                f"{count} image{' may show' if count == 1 else 's may show'} {pair[0]} as well as "
                f"{pair[1]}: the stricter of their limits judged {self._listed(pair, count)}, and "
                "good ones may be stopped up to twice as often as the rate says. Name the product "
                "with --product where you know it."
            )
        if calibration is not None and self.judged:
            found += calibration.notes(self.judged)
        return found


def shown_product(judged: Prediction | VerdictRow) -> str:
    """The product in a table or picture, with the one it looks like where that is another."""
    looks_like, rival = judged.looks_like, judged.rival
    shown = (judged.product or "") + (f" (looks like {looks_like})" if looks_like else "")
    return f"{shown} or {rival}" if rival else shown
