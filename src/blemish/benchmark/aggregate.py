"""Aggregation of runs: means over categories, mean and spread over seeds; published figures beside.

Published figures are their authors' own, on the full data sets, and never ours; they stand in
``published.json`` with their sources. Beside a result they are comparable only if it was measured
on the full data set: its layout, all of its categories and all of its images.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from blemish.benchmark.protocols import CLASS_PROTOCOLS
from blemish.benchmark.published_sets import published, published_set
from blemish.evaluation.promised_power import SHARES
from blemish.metrics import MEAN_AD_METRICS

Row = dict[str, Any]
#: What is known of the verdicts at the calibrated limit.
OPERATING = ("accuracy", "precision", "recall", "f1")
#: What one section has alike, with what runs from before an option came are taken to have had.
_SECTION = {
    **dict.fromkeys(("teacher", "size", "hold_out", "false_alarm_rate", "histogram")),
    **dict.fromkeys(("device", "precision", "speed")),
    "compatibility": "none",
    "group": "none",
}


@dataclass(frozen=True)
class MeanStd:
    """Mean and sample standard deviation over seeds."""

    mean: float  # ``nan`` where no seed has the figure
    std: float  # ``nan`` with fewer than two seeds

    @classmethod
    def over(cls, values: Iterable[float | None]) -> MeanStd:
        """The figure of some values; those that cannot be given (``None``) are left out."""
        given = [v for v in values if v is not None and math.isfinite(v)]
        if not given:
            return cls(math.nan, math.nan)
        spread = statistics.stdev(given) if len(given) > 1 else math.nan
        return cls(statistics.fmean(given), spread)


def row_figures(row: Row) -> dict[str, float | None]:
    """A row's figures by name: metrics, ``operating_f1`` and its like, ``found_share_at_0.01``.

    Rows without calibration, or from before power was measured, have the metrics alone.
    """
    figures = dict(row["metrics"])
    operating = row.get("operating") or {}
    figures |= {f"operating_{name}": operating[name] for name in OPERATING if name in operating}
    for power in row.get("power", ()):
        at = f"_at_{power['false_alarm_rate']:g}"
        figures |= {f"{name}{at}": power[name] for name in (*SHARES, "guaranteed_rate")}
    return figures


@dataclass
class System:
    """A method with its settings, in one section."""

    label: str  # method, its variant where it is one, and the settings that are not its defaults
    method: str
    runs: list[Row]  # one per unit and seed, of one version of code and data
    categories: list[str]  # those with figures for any seed
    seeds: list[int] = field(default_factory=list)  # with figures for every category, for means
    incomplete: list[int] = field(default_factory=list)  # seeds that lack a category
    superseded: int = 0  # runs left out because later ones used other code or data

    def rows(self, category: str) -> list[Row]:
        """The category's rows that have figures, by seed."""
        found = [
            (run["seed"], row)
            for run in self.runs
            for row in run["rows"]
            if row["category"] == category and not row["error"]
        ]
        return [row for _, row in sorted(found, key=lambda item: item[0])]

    def figure(self, category: str, metric: str) -> MeanStd:
        """A metric of one category; ``mean_ad`` is the mean of the seven where all are given.

        ``mean_ad_ader`` is the same with ADer's pixel F1-max.
        """
        return MeanStd.over(_mean_over([row_figures(row)], metric) for row in self.rows(category))

    def mean(self, metric: str) -> MeanStd:
        """A metric's unweighted mean over the categories that have it.

        ``mean_ad`` averages the seven over the categories that have all seven.
        """
        covered = self.covered(metric)
        return MeanStd.over(
            _mean_over([self._metrics(seed, category) for category in covered], metric)
            for seed in self.seeds
        )

    def covered(self, metric: str) -> list[str]:
        """The categories behind :meth:`mean`: those with the metric in every complete seed."""
        return [
            category
            for category in self.categories
            if self.seeds
            and all(
                _mean_over([self._metrics(seed, category)], metric) is not None
                for seed in self.seeds
            )
        ]

    def measured_on(self, what: str, category: str | None = None) -> MeanStd:
        """Seconds (``fit``, ``evaluate``) or ``peak_memory_mib`` of one model.

        Without a category: the mean over a seed's models, and its spread over the seeds.
        """
        by_seed: dict[int, list[float]] = {}
        for run in self.runs:
            mine = category is None or any(row["category"] == category for row in run["rows"])
            if run["status"] != "done" or not mine:
                continue
            cost = run[what] if what == "peak_memory_mib" else run["seconds"][what]
            if cost is not None:
                by_seed.setdefault(run["seed"], []).append(cost)
        return MeanStd.over(statistics.fmean(costs) for costs in by_seed.values())

    def _metrics(self, seed: int, category: str) -> Mapping[str, float | None]:
        rows = [row for run in self.runs if run["seed"] == seed for row in run["rows"]]
        return next(row_figures(row) for row in rows if row["category"] == category)


@dataclass
class Section:
    """The systems that were measured in the same way on the same data."""

    data: str
    layout: str
    protocol: Mapping[str, Any]
    setup: Mapping[str, Any]
    systems: list[System]

    @property
    def runs(self) -> list[Row]:
        return [run for system in self.systems for run in system.runs]

    @property
    def categories(self) -> list[str]:
        """Categories of any system, in order of appearance."""
        return list(dict.fromkeys(c for system in self.systems for c in system.categories))

    def metrics(self) -> set[str]:
        """Names of the metrics that any row has."""
        return {
            name
            for run in self.runs
            for row in run["rows"]
            if not row["error"]
            for name, value in row_figures(row).items()
            if value is not None
        }

    def counts(self) -> dict[str, Mapping[str, int]]:
        """Numbers of images of each category."""
        return {
            row["category"]: row["counts"]
            for run in self.runs
            for row in run["rows"]
            if row["category"] and "counts" in row
        }

    def failures(self) -> list[tuple[str, str]]:
        """What gave no figures, and why."""
        return [
            (f"{run['method']}, {row['category'] or 'all'}, seed {run['seed']}", row["error"])
            for run in self.runs
            for row in run["rows"]
            if row["error"]
        ]


def sections(lines: Sequence[Row]) -> list[Section]:
    """Group the runs of a results folder.

    Of a system that was measured with several versions of its code or data the last counts.
    """
    grouped: dict[str, dict[str, list[Row]]] = {}
    for line in lines:
        systems = grouped.setdefault(_canonical(_section_key(line)), {})
        identity = line["identity"]
        systems.setdefault(_canonical([identity["method"], identity["config"]]), []).append(line)
    found = []
    for systems in grouped.values():
        first = next(iter(systems.values()))[0]
        layouts = [run["data"]["layout"] for runs in systems.values() for run in runs]
        found.append(
            Section(
                first["data"]["name"],
                next((layout for layout in layouts if layout != "auto"), "auto"),
                first["protocol"],
                _SECTION | {n: v for n, v in first["identity"].items() if n in _SECTION},
                [_system(runs) for runs in systems.values()],
            )
        )
    return found


def _section_key(line: Row) -> Row:
    identity = line["identity"]
    protocol = dict(identity["protocol"])
    if protocol["name"] != "one_for_all":
        del protocol["categories"]  # one model each: they make up the section together
    elif not protocol["categories"]:
        protocol["unreadable"] = True
    return {
        "data": identity["data"]["name"],
        "protocol": protocol,
        **_SECTION,
        **{name: value for name, value in identity.items() if name in _SECTION},
    }


def _system(lines: list[Row]) -> System:
    last_code = lines[-1]["identity"]["code"]
    current = [line for line in lines if line["identity"]["code"] == last_code]
    # Each unit's images may have changed on their own.
    last_data = {_unit(line): line["data"]["fingerprints"] for line in current}
    current = [line for line in current if line["data"]["fingerprints"] == last_data[_unit(line)]]
    changed = current[-1]["settings"].items()
    named = [f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in changed]
    variant = current[-1].get("model", {}).get("variant")
    settings = ", ".join([variant, *named] if variant else named)
    method = current[-1]["method"]
    measured_at_all = [r["category"] for line in current for r in line["rows"] if not r["error"]]
    system = System(
        f"{method} ({settings})" if settings else method,
        method,
        current,
        list(dict.fromkeys(measured_at_all)),
        superseded=len(lines) - len(current),
    )
    for seed in sorted({line["seed"] for line in current}):
        rows = [row for line in current if line["seed"] == seed for row in line["rows"]]
        measured = {row["category"] for row in rows if not row["error"]}
        complete = bool(measured) and measured == set(system.categories)
        (system.seeds if complete else system.incomplete).append(seed)
    return system


def _unit(line: Row) -> str:
    return _canonical(line["protocol"]["categories"])


def _mean_over(per_category: Sequence[Mapping[str, float | None]], metric: str) -> float | None:
    """Mean over categories of one metric, or of the seven; ``None`` where one lacks it."""
    if metric == "mean_ad_ader":
        names = tuple(n.replace("pixel_f1_max", "pixel_f1_max_ader") for n in MEAN_AD_METRICS)
    else:
        names = MEAN_AD_METRICS if metric == "mean_ad" else (metric,)
    means = []
    for name in names:
        values = [metrics.get(name) for metrics in per_category]
        given = [value for value in values if value is not None]
        if not given or len(given) < len(values):
            return None
        means.append(statistics.fmean(given))
    return statistics.fmean(means)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


class PublishedFigure(NamedTuple):
    """One figure as reported, in percent; the protocol is ``None`` where the source is silent."""

    data_set: str
    protocol: str | None
    system: str
    metric: str
    value: str
    source: str


def published_figures(key: str, protocol: str) -> list[PublishedFigure]:
    """The figures for a data set under a protocol, those of unstated protocol included."""
    content = published()
    return [
        PublishedFigure(
            content["data_sets"][key]["title"],
            entry["protocol"],
            entry["system"],
            entry["metric"],
            entry["value"],
            content["sources"][entry["source"]],
        )
        for entry in content["figures"]
        if entry["data_set"] == key and entry["protocol"] in (protocol, None)
    ]


def own_figures(key: str, protocol: str, source: str) -> dict[str, str]:
    """What one source, by its key, reports of its own system: figures by metric."""
    text = published()["sources"].get(source)
    return {f.metric: f.value for f in published_figures(key, protocol) if f.source == text}


def full_data_set(section: Section) -> str | None:
    """The published data set that a section measured as a whole, ``None`` if there is none."""
    counts = section.counts()
    train = sum(c["train_good"] for c in counts.values())
    tests = [c["test_good"] + c["test_defective"] for c in counts.values()]
    # The class protocols test on all images each time.
    whole = section.protocol["name"] in CLASS_PROTOCOLS
    totals = train, (max(tests, default=0) if whole else sum(tests))
    for key in published()["data_sets"]:
        known = published_set(key)
        if (
            section.layout in known.layouts
            and sorted(counts) == sorted(known.categories)
            and known.is_whole(*totals)
        ):
            return str(key)
    return None


def same_layout(section: Section) -> list[str]:
    """Published data sets of the section's layout, the nearest thing to compare with."""
    known = published()["data_sets"].items()
    return [key for key, entry in known if entry["layouts"][0] == section.layout]
