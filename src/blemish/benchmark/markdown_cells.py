"""Markdown table: head, rule and rows, and figures with their spread as cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

from blemish.benchmark.aggregate import MeanStd


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> str:
    """A Markdown table whose first ``texts`` columns are aligned left, the others right."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(one_line(cell).replace("|", "\\|") for cell in cells) + " |"

    rule = "|" + "|".join(["---"] * texts + ["---:"] * (len(head) - texts)) + "|"
    return "\n".join([line(head), rule, *map(line, rows)]) + "\n"


def one_line(text: str) -> str:
    """The text without line breaks and doubled spaces."""
    return " ".join(text.split())


def percent(figure: MeanStd, *, missing: str = "n/a") -> str:
    """A share in percent with its spread over seeds."""
    return _with_spread(100 * figure.mean, 100 * figure.std, 1, missing)


def number(figure: MeanStd) -> str:
    """A figure as it is, with its spread over seeds."""
    return _with_spread(figure.mean, figure.std, 1 if figure.mean < 100 else 0, "n/a")


def _with_spread(mean: float, std: float, digits: int, missing: str) -> str:
    if math.isnan(mean):
        return missing
    spread = "" if math.isnan(std) else f" ± {std:.{digits}f}"
    return f"{mean:.{digits}f}{spread}"
