"""What several verbs print: failures, notes, and figures in tables."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from blemish.evaluation.evaluator import Evaluation


def print_failures(failures: Iterable[tuple[Path, str]], *, total: int | None = None) -> None:
    """List on standard error the images that could not be read; ``total`` where not all are."""
    listed = list(failures)
    total = len(listed) if total is None else total
    if listed:
        print(f"{total} image(s) could not be read:", file=sys.stderr)
        for _, reason in listed:
            print(f"  {reason}", file=sys.stderr)
        if total > len(listed):
            print(f"  … and {total - len(listed)} more.", file=sys.stderr)


def write_text(target: Path, text: str) -> None:
    """Write a text whole or not at all; to standard output where the target is ``-``.

    Raises:
        ConfigError: The file's folder cannot be written to.
    """
    if str(target) == "-":
        print(text)
        return
    from blemish._files import atomic_write

    with atomic_write(target) as file:
        file.write(text.encode())


def print_notes(notes: Iterable[str]) -> None:
    """List on standard error what the user should know."""
    for note in notes:
        print(f"Note: {note}", file=sys.stderr)


def figure(value: float, bound: float | None = None) -> str:
    """A fraction with three decimals and, where binned, its error; n/a where it cannot be given."""
    if not math.isfinite(value):
        return "n/a"
    if bound is None:
        return f"{value:.3f}"
    from blemish.metrics.bounds import bound_text

    return f"{value:.3f} ± {bound_text(bound)}"


def metrics_table(evaluation: Evaluation, columns: Mapping[str, str]) -> Table:
    """Metrics by product, with the mean below.

    Args:
        evaluation: The figures.
        columns: Headings by name of the metric.
    """
    from rich.table import Table

    table = Table(header_style="bold")
    table.add_column("product")
    table.add_column("good", justify="right")
    table.add_column("defective", justify="right")
    for heading in columns.values():
        table.add_column(heading, justify="right")

    def figures(metrics: Mapping[str, float], bounds: Mapping[str, float]) -> list[str]:
        return [figure(metrics.get(name, math.nan), bounds.get(name)) for name in columns]

    for result in evaluation.products:
        values = figures(result.metrics, result.error_bounds)
        table.add_row(result.product, str(result.good), str(result.defective), *values)
    if len(evaluation.products) > 1:
        table.add_section()
        means = figures(evaluation.mean, evaluation.error_bounds)
        table.add_row("mean", "", "", *means, style="bold")
    return table
