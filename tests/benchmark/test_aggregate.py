"""Means and spreads, against the plain way of computing them."""

from __future__ import annotations

import copy
import statistics
from typing import Any

import numpy as np
import pytest

from blemish.benchmark.aggregate import MeanStd, sections
from blemish.metrics import MEAN_AD_METRICS, mean_ad

Line = dict[str, Any]


def make_line(
    figures: dict[str, float | None],
    *,
    seed: int = 0,
    protocol: str = "one_for_all",
    method: str = "rd",
    code: str = "c1",
    data: str = "line",
    layout: str = "mvtec_ad",
    cost: float = 10.0,
    failed: tuple[str, ...] = (),
    steps: int = 5,
) -> Line:
    """A line whose categories have one value for all seven metrics."""
    counts = {
        "train_good": 8,
        "train_defective": 0,
        "validation_good": 0,
        "test_good": 3,
        "test_defective": 4,
    }
    operating = {"tp": 3, "fp": 1, "tn": 2, "fn": 1}
    operating |= {"accuracy": 5 / 7, "precision": 0.75, "recall": 0.75, "f1": 0.75}
    rows: list[Line] = [
        {
            "category": category,
            "error": None,
            "counts": dict(counts),
            "metrics": dict.fromkeys(MEAN_AD_METRICS, value),
            "operating": operating,
            "problems": [],
        }
        for category, value in figures.items()
    ]
    rows += [{"category": name, "error": "No image."} for name in failed]
    names = [row["category"] for row in rows]
    head = {
        "data": {"name": data, "layout": layout, "fingerprints": dict.fromkeys(names, "f")},
        "protocol": {"name": protocol, "categories": names, "known": [], "ratio": 0.0},
        "method": method,
        "seed": seed,
    }
    setup = dict.fromkeys(("size", "device", "precision", "histogram"))
    identity = setup | {"teacher": {"name": "lite", "weights": "pretrained"}}
    identity |= {"hold_out": 0.2, "false_alarm_rate": 0.01, "config": {"steps": steps}}
    return copy.deepcopy(
        {
            "run": f"{method}{seed}{names}{code}{data}{steps}",
            "status": "failed" if not figures else "done",
            "error": None,
            "settings": {"steps": steps},
            "rows": rows,
            **head,
            "identity": identity | head | {"code": {"version": "1", "sources": code}},
            "seconds": {"fit": cost, "evaluate": cost / 10},
            "peak_memory_mib": 100 * cost,
            "model": {"input_size": [64, 64], "shared_features": False},
            "environment": {
                "date_utc": "2026-01-02T03:04:05+00:00",
                "python": "3.11.0",
                "packages": {"torch": "2"},
                "cpu_model": "A CPU",
                "cores": 2,
                "memory_gib": 8.0,
                "threads": 2,
                "gpu": None,
            },
            "command": "blemish benchmark --data line --out out",
            "notes": [],
        }
    )


def test_mean_over_categories_then_mean_and_spread_over_seeds() -> None:
    values = {0: {"a": 0.9, "b": 0.5}, 1: {"a": 0.8, "b": 0.7}, 2: {"a": 1.0, "b": 0.9}}
    (section,) = sections([make_line(v, seed=seed) for seed, v in values.items()])
    (system,) = section.systems
    means = [0.7, 0.75, 0.95]
    assert system.mean("image_ap").mean == pytest.approx(np.mean(means))
    assert system.mean("image_ap").std == pytest.approx(np.std(means, ddof=1))
    assert system.figure("b", "pixel_ap").mean == pytest.approx(0.7)
    assert system.figure("b", "pixel_ap").std == pytest.approx(statistics.stdev([0.5, 0.7, 0.9]))
    assert system.seeds == [0, 1, 2]


def test_what_is_not_the_published_system_is_named_beside_it() -> None:
    line = make_line({"a": 0.9}, method="anomem")
    line["model"]["variant"] = "over a teacher: ours"
    (section,) = sections([line])
    assert section.systems[0].label == "anomem (over a teacher: ours, steps=5)"


def test_mad_is_that_of_the_metrics() -> None:
    rng = np.random.default_rng(0)
    line = make_line({"a": 0.0, "b": 0.0, "c": 0.0})
    for row in line["rows"]:
        row["metrics"] = {name: float(rng.random()) for name in MEAN_AD_METRICS}
    (section,) = sections([line])
    expected = mean_ad([row["metrics"] for row in line["rows"]])
    assert section.systems[0].mean("mean_ad").mean == pytest.approx(expected)


def test_a_metric_is_averaged_over_the_categories_that_have_it() -> None:
    lines = [make_line({"a": 0.8, "b": 0.6, "c": 0.1}, seed=seed) for seed in (0, 1)]
    for line in lines:
        line["rows"][2]["metrics"]["pixel_aupro"] = None  # c has no masks
    (section,) = sections(lines)
    (system,) = section.systems
    assert system.covered("pixel_aupro") == system.covered("mean_ad") == ["a", "b"]
    assert system.mean("pixel_aupro").mean == pytest.approx(0.7)
    assert system.mean("mean_ad").mean == pytest.approx(0.7)  # all seven over a and b
    assert system.mean("image_auroc").mean == pytest.approx(0.5)
    assert np.isnan(system.figure("c", "mean_ad").mean)


def test_a_seed_that_lacks_a_category_is_not_in_the_means() -> None:
    lines = [
        make_line({"a": 0.8}, protocol="per_category"),
        make_line({"b": 0.6}, protocol="per_category"),
        make_line({"a": 1.0}, protocol="per_category", seed=1),
    ]
    (section,) = sections(lines)
    (system,) = section.systems
    assert (system.seeds, system.incomplete) == ([0], [1])
    assert system.mean("image_auroc").mean == pytest.approx(0.7)
    assert system.figure("a", "image_auroc").mean == pytest.approx(0.9)


def test_a_category_that_never_worked_leaves_the_others_their_mean() -> None:
    (section,) = sections([make_line({"a": 0.8, "b": 0.6}, failed=("c",))])
    (system,) = section.systems
    assert system.mean("image_auroc").mean == pytest.approx(0.7)
    assert section.failures() == [("rd, c, seed 0", "No image.")]


def test_earlier_code_and_earlier_images_do_not_count() -> None:
    lines = [
        make_line({"a": 0.1}, protocol="per_category", code="old"),
        make_line({"b": 0.2}, protocol="per_category", code="old"),
        make_line({"a": 0.8}, protocol="per_category"),
        make_line({"b": 0.6}, protocol="per_category"),
        make_line({"b": 0.7}, protocol="per_category"),
    ]
    lines[-1]["data"]["fingerprints"] = {"b": "other images"}
    (section,) = sections(lines)
    (system,) = section.systems
    assert system.superseded == 3
    assert system.figure("a", "image_ap").mean == pytest.approx(0.8)
    assert system.figure("b", "image_ap").mean == pytest.approx(0.7)


def test_what_was_measured_differently_does_not_stand_together() -> None:
    lines = [
        make_line({"a": 0.1}),
        make_line({"a": 0.1}, protocol="per_category"),
        make_line({"a": 0.1}, data="other"),
        make_line({"a": 0.1, "b": 0.2}),
        make_line({"a": 0.1}, method="hfr"),
        make_line({"a": 0.1}, steps=9),
    ]
    found = sections(lines)
    assert len(found) == 4
    assert [s.label for s in found[0].systems] == ["rd (steps=5)", "hfr (steps=5)", "rd (steps=9)"]


def test_costs_are_of_one_model_and_spread_over_seeds() -> None:
    lines = [
        make_line({name: 0.5}, protocol="per_category", seed=seed, cost=cost)
        for seed, costs in ((0, (10.0, 30.0)), (1, (20.0, 40.0)))
        for name, cost in zip("ab", costs, strict=True)
    ]
    (section,) = sections(lines)
    (system,) = section.systems
    assert system.measured_on("fit") == MeanStd.over([20.0, 30.0])
    assert system.measured_on("peak_memory_mib", "b") == MeanStd.over([3000.0, 4000.0])
