"""The tables of a report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from blemish.metrics import Interval
from blemish.metrics.intervals import binomial_interval
from blemish.report import words
from blemish.report.data import (
    ProductReport,
    Report,
    located_of,
    verdicts_of,
)
from blemish.report.html import Child, Html, breakable, element, join
from blemish.report.rows import Verdicts

_METRICS = {
    "image_ap": "Image AP",
    "image_f1_max": "Image F1-max",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel AP",
    "pixel_f1_max": "Pixel F1-max",
    "pixel_aupro": "AUPRO",
}
_LOCO = {
    "image_auroc_logical": "AUROC logical",
    "image_auroc_structural": "AUROC structural",
    "image_auroc_mean": "AUROC mean",
    "au_spro_0.05_logical": "AU-sPRO logical",
    "au_spro_0.05_structural": "AU-sPRO structural",
    "au_spro_0.05_mean": "AU-sPRO mean",
}


def table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[Child]]) -> Html:
    """A table whose first column names the rows; it scrolls by itself where it is too wide.

    Example:
        >>> from blemish.report.tables import table
        >>> '<th scope="row">x</th><td>1</td>' in table("t", ["a", "b"], [["x", "1"]])
        True
    """
    head = element("tr", [element("th", heading, scope="col") for heading in headings])
    body = [
        element("tr", element("th", row[0], scope="row"), [element("td", cell) for cell in row[1:]])
        for row in rows
    ]
    content = element("table", element("thead", head), element("tbody", body), aria_label=caption)
    # Not a <caption>, which would scroll away with the columns.
    return join(
        [
            element("p", caption, class_="caption"),
            element(
                "div", content, class_="scroll", tabindex="0", role="region", aria_label=caption
            ),
        ]
    )


def share_cell(count: int, total: int) -> Html | str:
    """``2 of 20`` with the share's confidence interval below.

    Example:
        >>> from blemish.report.tables import share_cell
        >>> share_cell(0, 20).replace("\u00a0", " ")
        '0 of 20<small>0 % to 17 %</small>'
    """
    if total == 0:
        return words.MISSING
    interval = binomial_interval(count, total)
    return join([f"{count} of {total}", element("small", words.share_range(interval))])


def decisions_table(report: Report) -> Html:
    """Per product, what happens to good and defective parts at the limits."""
    rows: list[list[Child]] = []
    for product in report.products:
        good, bad = verdicts_of(product.good), verdicts_of(product.defective)
        rows.append(_decisions(product.name, good, bad, located_of(product.defective)))
    if len(report.products) > 1:
        every = report.rows
        good = verdicts_of([row for row in every if row.kind == "good"])
        bad_rows = [row for row in every if row.kind != "good"]
        rows.append(_decisions("all", good, verdicts_of(bad_rows), located_of(bad_rows)))
    return table(
        "Decisions at the calibrated limits, with 95 % confidence intervals (Clopper-Pearson)",
        [
            "Product",
            "Good parts stopped",
            "Good parts unsure",
            "Defects missed",
            "Defects unsure",
            "Defects found",
            "Marked at the right place",
        ],
        rows,
    )


def _decisions(
    name: str, good: Verdicts | None, bad: Verdicts | None, located: tuple[int, int]
) -> list[Child]:
    none = Verdicts(0, 0, 0)
    g, b = good or none, bad or none
    return [
        breakable(name),
        share_cell(g.defect, g.total),
        share_cell(g.unsure, g.total),
        share_cell(b.ok, b.total),
        share_cell(b.unsure, b.total),
        share_cell(b.defect, b.total),
        share_cell(*located),
    ]


def metrics_table(report: Report) -> Html:
    """Per product, the metrics that need no limit."""
    names = _given(report, _METRICS)
    rows: list[list[Child]] = [
        [
            breakable(product.name),
            f"{product.result.good} / {product.result.defective}",
            interval_cell(product.auroc),
            *(words.fraction(product.result.metrics.get(name, math.nan)) for name in names),
        ]
        for product in report.products
    ]
    if len(report.products) > 1:
        rows.append(["mean", "", *_means(report, ["image_auroc", *names])])
    return table(
        "Metrics of the raw scores, whatever the limits; image AUROC with its 95 % confidence "
        "interval (Newcombe)",
        ["Product", "Good / defective", "Image AUROC", *(_METRICS[name] for name in names)],
        rows,
    )


def loco_table(report: Report) -> Html | None:
    """Per product, structural and logical defects apart; ``None`` if the data do not tell them."""
    names = _given(report, _LOCO)
    if not names:
        return None
    rows: list[list[Child]] = [
        [
            breakable(product.name),
            *(words.fraction(product.result.metrics.get(name, math.nan)) for name in names),
        ]
        for product in report.products
    ]
    if len(report.products) > 1:
        rows.append(["mean", *_means(report, names)])
    return table(
        "Logical and structural defects (MVTec LOCO); sPRO up to a false-positive rate of 0.05",
        ["Product", *(_LOCO[name] for name in names)],
        rows,
    )


def _given(report: Report, names: Iterable[str]) -> list[str]:
    mean = report.evaluation.mean
    return [name for name in names if math.isfinite(mean.get(name, math.nan))]


def _means(report: Report, names: Iterable[str]) -> list[str]:
    return [words.fraction(report.evaluation.mean.get(name, math.nan)) for name in names]


def interval_cell(interval: Interval) -> Html | str:
    """An AUROC with its limits below."""
    if not math.isfinite(interval.estimate):
        return words.MISSING
    limits = f"{words.fraction(interval.low)} to {words.fraction(interval.high)}"
    return join([words.fraction(interval.estimate), element("small", limits)])


def kinds_table(product: ProductReport) -> Html:
    """The defect kinds of a product, the weakest first."""
    calibrated = product.limits is not None
    headings = ["Kind", "Images"]
    if calibrated:
        headings += ["Missed", "Unsure", "Found", "Marked at the right place"]
    rows: list[list[Child]] = []
    for kind in product.kinds:
        row: list[Child] = [breakable(kind.kind), str(len(kind.rows))]
        if kind.verdicts is not None:
            v = kind.verdicts
            row += [share_cell(v.ok, v.total), str(v.unsure), share_cell(v.defect, v.total)]
            row.append(share_cell(*kind.located))
        row.append(interval_cell(kind.auroc))
        rows.append(row)
    return table(
        "The weakest kind first; with 95 % confidence intervals", [*headings, "Image AUROC"], rows
    )


def promise_table(product: ProductReport) -> Html | None:
    """False alarms on good test images against what the calibration promised."""
    rows: list[list[Child]] = []
    for name, check in (
        ("defect", product.promise),
        ("unsure or defect", product.unsure_promise),
    ):
        if check is None:
            continue
        kept = {True: "in line", False: "more than promised", None: "no promise"}[check.kept]
        tone = {True: "ok", False: "defect", None: "unsure"}[check.kept]
        known = check.promised is not None
        rows.append(
            [
                name,
                "none" if check.promised is None else f"at most {words.percent(check.promised)}",
                share_cell(check.alarms, check.good),
                f"up to {check.usual}" if known else words.MISSING,
                element("span", kept, class_=f"badge {tone}"),
            ]
        )
    if not rows:
        return None
    return table(
        "Good test images above the limits, and what the calibration promised",
        ["Good parts called", "Promised on average", "Realised", "Usual number", "Verdict"],
        rows,
    )
