"""Result of a reproduction: the paper's table beside the measured one, as JSON and Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blemish._files import atomic_write
from blemish.benchmark.aggregate import System, own_figures, published_figures, sections
from blemish.benchmark.expected_cost import Expected
from blemish.benchmark.markdown_cells import table
from blemish.benchmark.papers import Paper
from blemish.benchmark.published_sets import published, published_set
from blemish.benchmark.reproduction import Reproduction
from blemish.benchmark.result_file import write_result
from blemish.benchmark.rows import read_lines
from blemish.benchmark.runner import Outcome
from blemish.errors import DataError

_MEAN = ", mean of 10 classes"  # of a published figure, not of a category


@dataclass(frozen=True)
class ResultRow:
    """A line of the table; figures in percent."""

    system: str
    metric: str
    published: str | None  # as reported
    measured: float | None = None
    spread: float | None = None  # sample standard deviation over seeds
    categories: int | None = None  # that the mean is over, where not over all of the paper's

    @property
    def difference(self) -> float | None:
        """Measured minus published, in points, where both are numbers."""
        try:
            return None if self.measured is None else self.measured - float(self.published or "")
        except ValueError:
            return None


def write_reproduction(
    what: Reproduction, expected: Expected, out: Path, outcome: Outcome, command: str
) -> tuple[Path, str]:
    """Write ``reproduction.json`` and ``reproduction.md`` into ``out``.

    Returns:
        The path of the second, and its table.

    Raises:
        DataError: No run gave figures.
    """
    lines = [line for line in read_lines(out) if line["run"] in outcome.asked]
    systems = [system for section in sections(lines) for system in section.systems]
    if not any(system.categories for system in systems):
        raise DataError("No run gave figures, and there is nothing to set beside the paper's.")
    (system,) = systems
    rows = result_rows(what.paper, system)
    done = [run for run in system.runs if run["status"] == "done"]
    by_category = {
        category: {
            name: _percent(system.figure(category, name).mean) for name in what.paper.metrics
        }
        for category in system.categories
    }
    content = {
        "paper": what.name,
        "title": what.paper.title,
        "source": what.paper.source,
        "command": command,
        "is_the_papers": what.is_the_papers,
        "departures": list(what.departures),
        "data": list(what.difference.found),
        "open": what.paper.open,
        "claim": what.paper.claim,
        "seeds": list(system.seeds),
        "without_figures": [f"{title}: {reason}" for title, reason in outcome.failed],
        "rows": [{**asdict(row), "difference": row.difference} for row in rows],
        "by_category": by_category,
        "expected": expected.to_json(),
        "measured_cost": {
            "fit_seconds": round(sum(run["seconds"]["fit"] for run in done), 1),
            "peak_memory_mib": max(run["peak_memory_mib"] or 0 for run in done),
            "gpu": done[0]["environment"].get("gpu"),
        },
    }
    write_result(out / "reproduction.json", content)
    shown = _table(rows)
    page = out / "reproduction.md"
    with atomic_write(page) as file:
        file.write(_page(content, shown, what.paper).encode())
    return page, shown


def result_rows(paper: Paper, system: System) -> list[ResultRow]:
    """The paper's table, and beside its own figures what was measured."""
    sources = published()["sources"]
    figures = published_figures(paper.data_set, paper.protocol)
    others = [f for f in figures if f.source in [sources[key] for key in paper.compared]]
    own = own_figures(paper.data_set, paper.protocol, paper.own)
    whole = len(paper.categories or published_set(paper.data_set).categories)
    rows = [ResultRow(f.system, f.metric, f.value) for f in others]
    for name, label in paper.metrics.items():
        value = system.mean(name)
        measured, spread = _percent(value.mean), _percent(value.std)
        over = len(system.covered(name))
        some = over if over < whole else None
        rows.append(ResultRow(system.label, label, own.get(label), measured, spread, some))
    return rows


def _percent(share: float) -> float | None:
    return round(100 * share, 2) if math.isfinite(share) else None


def _table(rows: Sequence[ResultRow]) -> str:
    def cells(row: ResultRow) -> list[str]:
        spread = "" if row.spread is None else f" ± {row.spread:.1f}"
        if row.categories is not None:
            spread += f" (of {row.categories} only)"
        ours = row.measured is not None
        return [
            row.system,
            row.metric,
            row.published or ("not stated here" if ours else "–"),
            f"{row.measured:.1f}{spread}" if ours else "–",
            "–" if row.difference is None else f"{row.difference:+.1f}",
        ]

    head = ["system", "metric", "published, %", "measured, %", "difference"]
    return table(head, [cells(row) for row in rows], texts=2)


def _page(content: dict[str, Any], shown: str, paper: Paper) -> str:
    facts = [f"Paper: {content['source']}", f"Command: `{content['command']}`"]
    if content["is_the_papers"]:
        facts.append("Data whole, settings those of the preset `paper`")
    else:
        facts.append("**Not the paper's experiment**")
    facts += [f"Departs: {text}" for text in content["departures"]]
    facts += [f"Not the published data: {text}" for text in content["data"]]
    facts.append(f"Not stated: {content['open']}")
    if content["claim"]:
        facts.append(f"The paper's claim: {content['claim']}")
    facts += [f"No figures for {text}" for text in content["without_figures"]]
    cost = content["measured_cost"]
    facts.append(
        f"Measured: {cost['fit_seconds']:g} s of training on {cost['gpu'] or 'a CPU'}; expected "
        f"were {content['expected']['gpu_hours']:g} hours on a GPU as assumed there. Machine, "
        "versions and every figure: `rows.jsonl`, `tables.md`"
    )
    rows = [
        [category, *("n/a" if value is None else f"{value:.1f}" for value in figures.values())]
        for category, figures in content["by_category"].items()
    ]
    labels = paper.metrics.values()
    return "\n".join(
        [
            f"# {content['title']}\n",
            "\n".join(f"- {fact}" for fact in facts) + "\n",
            shown,
            "## Measured, by category\n",
            table(["category", *(label.removesuffix(_MEAN) for label in labels)], rows),
        ]
    )
