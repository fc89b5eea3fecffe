"""Result tables laid out like the papers': Markdown to read, CSV to work with."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blemish._files import atomic_write
from blemish.benchmark.aggregate import (
    OPERATING,
    MeanStd,
    Section,
    full_data_set,
    published_figures,
    same_layout,
    sections,
)
from blemish.benchmark.markdown_cells import number, one_line, percent, table
from blemish.benchmark.power_table import POWER, headings, mean_cells, measured, power_table
from blemish.benchmark.rows import read_lines
from blemish.data.sample import HOLD_OUT_SHARE
from blemish.metrics.bounds import bound_text

SEVEN = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1_max": "pixel F1-max",
    "pixel_aupro": "AUPRO",
    "mean_ad": "mAD",
}
ADER = {
    "pixel_f1_max_ader": "pixel F1-max as in ADer",
    "mean_ad_ader": "mAD with it",
}
LOCO = {
    "image_auroc_logical": "AUROC logical",
    "image_auroc_structural": "AUROC structural",
    "image_auroc_mean": "AUROC mean",
    "image_auroc_pooled": "AUROC pooled",
    "au_spro_0.05_logical": "AU-sPRO@0.05 logical",
    "au_spro_0.05_structural": "AU-sPRO@0.05 structural",
    "au_spro_0.05_mean": "AU-sPRO@0.05 mean",
}
UNSEEN = {
    "image_auroc_unseen": "AUROC, unseen anomalies",
    "image_ap_unseen": "AP, unseen anomalies",
    "image_f1_max_unseen": "F1-max, unseen anomalies",
}
COST = {"fit": "fit, s", "evaluate": "evaluate, s", "peak_memory_mib": "peak MiB"}


def write_tables(folder: str | Path) -> list[Path]:
    """Write ``tables.md`` and ``tables.csv`` beside a folder's rows.

    Raises:
        DataError: The folder holds no readable ``rows.jsonl``.
    """
    lines = read_lines(folder)
    written = []
    for name, text in (("tables.md", markdown(lines)), ("tables.csv", csv_text(lines))):
        path = Path(folder) / name
        with atomic_write(path) as file:
            file.write(text.encode())
        written.append(path)
    return written


def markdown(lines: Sequence[dict[str, Any]], *, heading: str = "##") -> str:
    """The tables of all runs as Markdown.

    Args:
        lines: As :func:`blemish.benchmark.rows.read_lines` gives them.
        heading: Marks of the highest heading.
    """
    found = sections(lines)
    if not found:
        return "No run was measured yet.\n"
    return "\n".join(_section(section, heading) for section in found)


def csv_text(lines: Sequence[dict[str, Any]]) -> str:
    """The same figures, one line per system and category and one for the mean, as fractions."""
    columns = [*SEVEN, *ADER, *LOCO, *UNSEEN, *POWER]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["data", "protocol", "ratio", "method", "settings", "teacher", "category", "seeds"]
    writer.writerow(
        [*head, *(f"{name}{suffix}" for name in [*columns, *COST] for suffix in ("", "_std"))]
    )
    for section in sections(lines):
        for system in section.systems:
            settings = system.label.removeprefix(system.method).strip(" ()")
            common = [section.data, section.protocol["name"], f"{section.protocol['ratio']:g}"]
            common += [system.method, settings, section.setup["teacher"]["name"]]
            for category in system.categories:
                figures = [system.figure(category, name) for name in columns]
                figures += [system.measured_on(what, category) for what in COST]
                seeds = len(system.rows(category))
                writer.writerow([*common, category, seeds, *_cells(figures)])
            figures = [system.mean(name) for name in columns]
            figures += [system.measured_on(what) for what in COST]
            writer.writerow([*common, "mean", len(system.seeds), *_cells(figures)])
    return out.getvalue()


def _cells(figures: Sequence[MeanStd]) -> list[str]:
    values = (value for figure in figures for value in (figure.mean, figure.std))
    return ["" if math.isnan(value) else f"{value:.6g}" for value in values]


def _section(section: Section, heading: str) -> str:
    unbalanced = section.protocol["name"] == "unbalanced"
    title = f"{section.data}, {section.protocol['name']}"
    if unbalanced:
        title += f", ratio {section.protocol['ratio']:g}"
    parts = [f"{heading} {title}\n", _header(section)]
    metrics = section.metrics()
    parts += _metric_tables(section, SEVEN, heading)
    if "pixel_f1_max_ader" in metrics:
        metrics.add("mean_ad_ader")
    for columns in (ADER, LOCO, UNSEEN):
        present = {name: text for name, text in columns.items() if name in metrics}
        if present:
            parts += _metric_tables(section, present, heading)
    parts += _operating(section, heading)
    if measured(section):
        parts += [f"{heading}# Power at the promise\n", power_table(section)]
    parts += _remarks(section, heading)
    parts += _published(section, heading)
    return "\n".join(parts)


def _metric_tables(section: Section, columns: dict[str, str], heading: str) -> list[str]:
    with_cost = columns is SEVEN
    cost = list(COST.values()) if with_cost else []
    power = headings() if with_cost and measured(section) else []
    rows = []
    for system in section.systems:
        cells = []
        for name in columns:
            mark = ""
            covered = len(system.covered(name))
            if 0 < covered < len(system.categories):
                mark = f" ({covered} of {len(system.categories)})"
            cells.append(percent(system.mean(name)) + mark)
        if power:
            cells += mean_cells(system)
        if with_cost:
            cells += [number(system.measured_on(what)) for what in COST]
        rows.append([f"**{system.label}**", *cells])
    parts = [table(["mean over categories", *columns.values(), *power, *cost], rows)]
    if len(section.categories) > 1:
        single = section.protocol["name"] != "one_for_all"  # a model of its own per category
        for system in section.systems:
            rows = []
            for category in system.categories:
                cells = [percent(system.figure(category, name)) for name in columns]
                if with_cost and single:
                    cells += [number(system.measured_on(what, category)) for what in COST]
                rows.append([category, *cells])
            rows.append(["**mean**", *(percent(system.mean(name)) for name in columns)])
            if with_cost and single:
                rows[-1] += [number(system.measured_on(what)) for what in COST]
            head = ["category", *columns.values(), *(cost if single else [])]
            parts += [f"{heading}# {system.label}, by category\n", table(head, rows)]
    return parts


def _header(section: Section) -> str:
    runs, setup = section.runs, section.setup
    teacher = setup["teacher"]
    size = setup["size"]
    inputs = dict.fromkeys(
        "×".join(map(str, run["model"]["input_size"])) for run in runs if "model" in run
    )
    days = sorted(run["environment"]["date_utc"][:10] for run in runs)
    seeds = dict.fromkeys(seed for s in section.systems for seed in [*s.seeds, *s.incomplete])
    facts = [
        *(f"Command: `{command}`" for command in dict.fromkeys(r["command"] for r in runs)),
        f"Data: {section.data}, layout {section.layout}: {_data_in_words(section)}",
        f"Protocol: {section.protocol['name']}, seeds {', '.join(map(str, sorted(seeds)))}; the "
        "last training step counts; mean ± sample standard deviation over seeds",
        f"Teacher: {teacher['name']}, weights {teacher['weights']}; input "
        + (", ".join(inputs) or str(size))
        + (f"; speed {setup['speed']}" if setup["speed"] else ""),
        f"Calibration: validation images where the data set has them, else "
        f"{_calibrating(setup['hold_out'])}; asked-for false-alarm rate "
        f"{100 * setup['false_alarm_rate']:g} %",
        f"Measured: {' to '.join(dict.fromkeys((days[0], days[-1])))}; "
        + "; ".join(dict.fromkeys(map(_versions, runs))),
        "Hardware: " + "; ".join(dict.fromkeys(map(_hardware, runs))),
        *_bounded(section),
        "Metrics in percent; times and peak memory are those of one model's own process",
    ]
    if teacher["weights"] == "random":
        facts.insert(0, "**Random teacher weights: these figures say nothing about a system.**")
    if section.protocol["known"]:
        facts.append(f"Known anomaly classes: {', '.join(section.protocol['known'])}")
    return "\n".join(f"- {fact}" for fact in facts) + "\n"


def _bounded(section: Section) -> list[str]:
    """What bounded memory may cost, where it was asked for."""
    bounds = [
        bound
        for run in section.runs
        for row in run["rows"]
        for bound in row.get("error_bounds", {}).values()
        if bound is not None
    ]
    if not bounds:
        return []
    most = bound_text(100 * max(bounds))
    return [f"Pixel metrics in bounded memory: none is off by more than {most} %"]


def _data_in_words(section: Section) -> str:
    words = []
    for category, c in section.counts().items():
        train = f"{c['train_good']} good"
        if c["train_defective"]:
            train += f" + {c['train_defective']} labelled anomalies"
        if c["validation_good"]:
            train += f", {c['validation_good']} validation"
        words.append(
            f"{category} (train {train}; test {c['test_good']} good + {c['test_defective']} "
            "defective)"
        )
    return ", ".join(words) or "could not be read"


def _versions(run: dict[str, Any]) -> str:
    environment, code = run["environment"], run["identity"]["code"]
    packages = environment["packages"]
    torch = f", torch {packages['torch']}" if "torch" in packages else ""
    return (
        f"blemish {code['version']}, sources {code['sources'][:8]}, "
        f"Python {environment['python']}{torch}"
    )


def _hardware(run: dict[str, Any]) -> str:
    environment = run["environment"]
    words = [environment["cpu_model"], f"{environment['cores']} cores"]
    if environment["memory_gib"] is not None:
        words.append(f"{environment['memory_gib']:g} GiB")
    if "threads" in environment:
        words.append(f"PyTorch on {environment['threads']} of them")
    if environment.get("gpu"):
        words.append(environment["gpu"])
    return ", ".join(words)


def _operating(section: Section, heading: str) -> list[str]:
    """Verdicts at the calibrated limit, counted over all seeds."""
    rows = []
    for system in section.systems:
        for category in system.categories:
            counted = [row["operating"] for row in system.rows(category) if row["operating"]]
            if not counted:
                continue
            total = {name: sum(o[name] for o in counted) for name in ("tp", "fp", "tn", "fn")}
            tp, fp, tn, fn = (total[name] for name in ("tp", "fp", "tn", "fn"))
            values = [MeanStd.over(o[name] for o in counted) for name in OPERATING]
            alarms = f"{fp} of {fp + tn}"
            found = f"{tp} of {tp + fn}"
            rows.append([system.label, category, alarms, found, *map(percent, values)])
    if not rows:
        return []
    head = ["system", "category", "false alarms", "defects found"]
    head += ["accuracy", "precision", "recall", "F1"]
    return [f"{heading}# At the calibrated limit\n", table(head, rows, texts=2)]


def _remarks(section: Section, heading: str) -> list[str]:
    remarks = [f"No figures for {what}: {why}" for what, why in section.failures()]
    for system in section.systems:
        if system.incomplete:
            seeds = ", ".join(map(str, system.incomplete))
            remarks.append(f"{system.label}: seed {seeds} lacks a category; not in the means.")
        if system.superseded:
            remarks.append(
                f"{system.label}: {system.superseded} runs of earlier code or data are left out."
            )
        if any(run.get("model", {}).get("shared_features") for run in system.runs):
            remarks.append(
                f"{system.label}: some fit times leave out the teacher's features, which another "
                "system's run had computed."
            )
        if any(run.get("model", {}).get("resumed") for run in system.runs):
            remarks.append(
                f"{system.label}: some trainings were stopped and went on; their fit times are of "
                "the last part."
            )
    categories: dict[str, dict[str, None]] = {}
    for run in section.runs:
        for row in run["rows"]:
            for problem in row.get("problems", ()):
                categories.setdefault(problem, {})[str(row["category"])] = None
    remarks += [f"{', '.join(names)}: {problem}" for problem, names in categories.items()]
    if not remarks:
        return []
    return [f"{heading}# Remarks\n", "\n".join(f"- {one_line(text)}" for text in remarks) + "\n"]


def _published(section: Section, heading: str) -> list[str]:
    protocol = section.protocol["name"]
    full = full_data_set(section)
    keys = [full] if full else same_layout(section)
    figures = [figure for key in keys for figure in published_figures(key, protocol)]
    if not figures:
        return []
    intro = (
        "Reported by the sources named, not measured here; settings and teachers differ."
        if full
        else "For context only and **not comparable** with the figures above: these were reported "
        f"on the full data set named, and the data above ({section.data}) are others."
    )
    rows = [
        [f.system, f.data_set, f.protocol or "not stated", f.metric, f.value, f.source]
        for f in figures
    ]
    head = ["*published*", "data set", "protocol", "metric", "%", "source"]
    return [f"{heading}# Published figures\n", intro + "\n", table(head, rows, texts=len(head))]


def _calibrating(hold_out: float | None) -> str:
    if hold_out is None:
        return (
            "all good training images, each measured by the others, where the method can do that, "
            f"and {100 * HOLD_OUT_SHARE:g} % of them held out where it cannot"
        )
    return f"{100 * hold_out:g} % of the good training images"
