"""The report's section on why the model misses what it misses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from blemish.report.html import Html, element
from blemish.report.tables import table

if TYPE_CHECKING:
    from blemish.evaluation.diagnosis import Diagnosis
    from blemish.evaluation.diagnostic_measures import Leakage, Separability, Separation


def diagnosis_section(found: Diagnosis) -> Html:
    """Leakage, separability and separation as tables, each with a word on how to read it.

    Example: see ``blemish report --diagnose``.
    """
    images = sum(product.planted.good for product in found.products)
    parts = [
        element("h2", "Why it misses"),
        element(
            "p",
            f"Measured on {images} good images of the {found.split} split, into each of which "
            "every kind of anomaly was planted once. Planted anomalies compare models; they do "
            "not say how many real defects are found.",
        ),
        _leakage(found),
        element(
            "p",
            "Copied: share of the change that the student follows inside the planted area. 0 is "
            "best; at 1 the anomaly is invisible.",
        ),
        _separability(found),
        _separation(found),
        element(
            "p",
            "Effect size: Cohen's d, the difference of the mean scores over their standard "
            "deviation. Overlap: 0 apart, 1 alike.",
        ),
    ]
    return element("section", parts, id="diagnosis")


def _leakage(found: Diagnosis) -> Html:
    levels = len(found.leakage.copied)
    headings = ["Planted anomalies", *(f"Copied, level {i + 1}" for i in range(levels))]

    def row(name: str, leakage: Leakage) -> list[str]:
        similar = (leakage.to_anomalous, leakage.to_clean)
        return [name, *map(_figure, leakage.copied), *(_figure(sum(v) / levels) for v in similar)]

    rows = [row(product.product, product.leakage) for product in found.products]
    rows += [row(kind, leakage) for kind, leakage in found.kinds.items()]
    rows.append(row("all", found.leakage))
    return table(
        "Anomaly leakage", [*headings, "Cosine to the anomaly", "Cosine to the clean part"], rows
    )


def _separability(found: Diagnosis) -> list[Html]:
    if found.bottleneck is None or found.teacher is None:
        return []

    def row(name: str, of: Separability) -> list[str]:
        return [name, *map(_figure, (of.silhouette, of.purity, of.chance))]

    rows = [row("bottleneck", found.bottleneck), row("teacher's deepest level", found.teacher)]
    return [
        table("Products told apart", ["In the", "Silhouette", "Purity", "By chance"], rows),
        element(
            "p",
            "Silhouette: -1 to 1. Purity: share of good images nearest to the mean of their own "
            "product. No label was seen in training.",
        ),
    ]


def _separation(found: Diagnosis) -> Html:
    def row(name: str, of: Separation) -> list[str]:
        counts = f"{of.good} / {of.anomalous}"
        return [name, counts, _figure(of.effect_size, 2), _figure(of.overlap)]

    rows = []
    for product in found.products:
        rows.append(row(f"{product.product}, planted", product.planted))
        if product.real is not None:
            rows.append(row(f"{product.product}, real defects", product.real))
    headings = ["Anomalies", "Images good / anomalous", "Effect size", "Overlap"]
    return table("Scores told apart", headings, rows)


def _figure(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "n/a"
