"""Power in the tables: found and stopped at each promised rate, beside what the ROC offers.

Rows from before it was measured have none and are shown with a dash.
"""

from __future__ import annotations

from blemish.benchmark.aggregate import MeanStd, Section, System
from blemish.benchmark.markdown_cells import percent, table
from blemish.evaluation.promised_power import RATES, SHARES

#: Names of all figures in a row, see :func:`blemish.benchmark.aggregate.row_figures`.
POWER = tuple(f"{name}_at_{rate:g}" for rate in RATES for name in (*SHARES, "guaranteed_rate"))
_MISSING = "–"
_LEGEND = """
By the limits for these false-alarm rates, whatever rate the verdicts have. *ROC offers*: the recall
of the best threshold that stops no more good images; what it is above the share found, calibration
wastes. In brackets the rate that is guaranteed, where it is not the one asked for: the good images
were too few, or the limits are pooled.
"""


def measured(section: Section) -> bool:
    """Whether any of its rows has these figures."""
    return not section.metrics().isdisjoint(POWER)


def headings() -> list[str]:
    """Columns of the table of means."""
    return [f"found / stopped at {100 * rate:g} %" for rate in RATES]


def mean_cells(system: System) -> list[str]:
    """A system's cells of these columns."""
    return [
        " / ".join(
            percent(system.mean(f"{name}_at_{rate:g}"), missing=_MISSING)
            for name in ("found_share", "stopped_share")
        )
        for rate in RATES
    ]


def power_table(section: Section) -> str:
    """Each category, the mean of each system that has several, and what the columns are."""
    head = ["system", "category"]
    for rate in RATES:
        head += [f"found at {100 * rate:g} %", "good stopped", "ROC offers"]
    rows = []
    for system in section.systems:
        for category in system.categories:
            rows.append([system.label, category, *_cells(system, category)])
        if len(system.categories) > 1:
            rows.append([system.label, "**mean**", *_cells(system, None)])
    return table(head, rows, texts=2) + _LEGEND


def _cells(system: System, category: str | None) -> list[str]:
    def figure(name: str, rate: float) -> MeanStd:
        metric = f"{name}_at_{rate:g}"
        return system.mean(metric) if category is None else system.figure(category, metric)

    cells = []
    for rate in RATES:
        stopped = percent(figure("stopped_share", rate), missing=_MISSING)
        if category is not None:
            stopped += _shortfall(system, category, rate)
        cells += [
            percent(figure("found_share", rate), missing=_MISSING),
            stopped,
            percent(figure("roc_recall", rate), missing=_MISSING),
        ]
    return cells


def _shortfall(system: System, category: str, rate: float) -> str:
    """The rate that the limits of some seed guarantee, where it is not the one asked for."""
    given = [
        power["guaranteed_rate"]
        for row in system.rows(category)
        for power in row.get("power", ())
        if power["false_alarm_rate"] == rate
    ]
    if None in given:
        return " (guaranteed: nothing)"
    most = max(given, default=0.0)
    return f" (guaranteed: {100 * most:.2g})" if most > rate else ""
