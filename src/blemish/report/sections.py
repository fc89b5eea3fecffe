"""The sections of a report's page."""

from __future__ import annotations

import math
from statistics import median

from blemish.metrics import roc_curve
from blemish.report import words
from blemish.report.data import ProductReport, Report, verdicts_of
from blemish.report.gallery import gallery
from blemish.report.html import Child, Html, element, join
from blemish.report.plots import curve_plot, p_value_plot, score_histogram
from blemish.report.promise import p_value_band
from blemish.report.rows import Verdicts
from blemish.report.summary import Card, summary_cards
from blemish.report.tables import (
    decisions_table,
    kinds_table,
    loco_table,
    metrics_table,
    promise_table,
    table,
)

_PRO_RANGE = 0.3  # AUPRO is the area up to here
# With fewer good images a staircase of p-values says nothing.
_FEW_P_VALUES = 5


def summary_section(report: Report) -> Html:
    """The one-minute summary."""
    cards = [_card(card, _link(report, card)) for card in summary_cards(report)]
    return _section("summary", "In short", element("div", cards, class_="cards"))


def _link(report: Report, card: Card) -> tuple[str, str] | None:
    """Where the pictures of a card's images begin, and the words of the link."""
    for number, product in enumerate(report.products, 1):
        if product.name == card.worst_product:
            if card.about == "alarms" and product.alarms:
                return f"product-{number}-alarms", "See the worst false alarms"
            if card.about == "misses" and product.misses:
                return f"product-{number}-misses", "See the worst misses"
    return None


def _card(card: Card, link: tuple[str, str] | None) -> Html:
    return element(
        "article",
        element("h3", card.title),
        element(
            "p",
            element("strong", card.figure, class_="figure") if card.figure else None,
            " " if card.figure else None,
            card.meaning if card.figure else card.meaning[:1].upper() + card.meaning[1:] + ".",
            class_="meaning",
        ),
        outcome_bar(card.verdicts, good=card.about == "alarms") if card.verdicts else None,
        [element("p", line) for line in card.lines],
        element(
            "ul", [element("li", element("strong", name), f" {said}") for name, said in card.items]
        )
        if card.items
        else None,
        element("p", element("a", link[1], href=f"#{link[0]}")) if link else None,
        class_=f"card {card.tone}".strip(),
    )


def outcome_bar(verdicts: Verdicts, *, good: bool) -> Html:
    """How many images went right, stayed unsure and went wrong, as lengths and as numbers.

    Args:
        verdicts: Of the images.
        good: Whether they are good; what is right for these is wrong for defective ones.
    """
    if good:
        counts = (("pass", verdicts.ok), ("unsure", verdicts.unsure), ("stopped", verdicts.defect))
    else:
        counts = (("found", verdicts.defect), ("unsure", verdicts.unsure), ("missed", verdicts.ok))
    tones = ("ok", "unsure", "defect")
    parts = [(tone, name, n) for tone, (name, n) in zip(tones, counts, strict=True)]
    said = ", ".join(f"{number} {name}" for _, name, number in parts)
    return join(
        [
            element(
                "div",
                [
                    element("span", class_=tone, style=f"flex-grow:{number}")
                    for tone, _, number in parts
                    if number
                ],
                class_="bar",
                role="img",
                aria_label=said,
            ),
            element(
                "p",
                [[key(tone, f"{number} {name}"), " "] for tone, name, number in parts],
                class_="key",
            ),
        ]
    )


def figures_section(report: Report) -> Html:
    """Decisions and metrics of all products."""
    return _section(
        "figures",
        "All figures",
        decisions_table(report)
        if report.calibrated
        else element("p", "Without calibration there are no decisions to count."),
        metrics_table(report),
        loco_table(report),
        element(
            "p",
            "Image figures treat images as independent of each other. Pixel figures have no "
            "interval: neighbouring pixels are not independent. A dash: the images do not allow "
            "the figure, the notes say why.",
            class_="note",
        ),
    )


def product_section(product: ProductReport, number: int) -> Html:
    """Kinds, pictures, plots and calibration check of one product."""
    return _section(
        f"product-{number}",
        f"Product {product.name}",
        [element("p", problem, class_="note") for problem in product.result.problems],
        [element("h3", "Defect kinds"), kinds_table(product)] if product.kinds else None,
        gallery(product, number),
        element("h3", "Scores and curves"),
        element("div", _plots(product), class_="plots"),
        _promise(product),
    )


def _plots(product: ProductReport) -> list[Html]:
    good = [row.score for row in product.good]
    bad = [row.score for row in product.defective]
    plots = [
        _plot(
            "Scores",
            score_histogram(good, bad, product.limits),
            [
                key("good", f"{words.count(len(good), 'good image')}, upwards"),
                " ",
                key("bad", f"{words.count(len(bad), 'defective image')}, downwards"),
            ],
        )
    ]
    plots.append(_roc(product))
    if product.pro is not None and len(product.pro.fpr):
        aupro = words.fraction(product.result.metrics["pixel_aupro"])
        plots.append(
            _plot(
                "PRO curve: where the defects are",
                curve_plot(
                    product.pro,
                    said=f"PRO curve of the pixels up to a false-positive rate of 0.3; AUPRO "
                    f"{aupro}.",
                    across="good pixels marked wrongly",
                    up="defect area found (mean)",
                    x_max=_PRO_RANGE,
                ),
                f"AUPRO {aupro}: the mean height of the curve.",
            )
        )
    else:
        plots.append(_no_plot("PRO curve", "No ground-truth masks, so no PRO curve."))
    return plots


def _roc(product: ProductReport) -> Html:
    rows = product.rows
    auroc = product.auroc
    if not math.isfinite(auroc.estimate):
        return _no_plot("ROC curve", "Good and defective images are needed for a ROC curve.")
    curve = roc_curve([row.score for row in rows], [row.kind != "good" for row in rows])
    points = []
    good, bad = verdicts_of(product.good), verdicts_of(product.defective)
    if good is not None and bad is not None:
        for name, alarms, found in (
            ("unsure", good.defect + good.unsure, bad.defect + bad.unsure),
            ("defect", good.defect, bad.defect),
        ):
            label = f"limit for {name}: {alarms} of {good.total} good, {found} of {bad.total} found"
            points.append((alarms / good.total, found / bad.total, name, label))
    said = (
        f"ROC curve of the images; AUROC {words.fraction(auroc.estimate)}, 95 % confidence "
        f"interval {words.fraction(auroc.low)} to {words.fraction(auroc.high)}"
    )
    described = [said[said.index("AUROC") :] + ". "]
    marks: list[Child] = [*described]
    if points:
        marks += [key("defect", "at the limit for defect"), " ", key("unsure", "for unsure")]
    return _plot(
        "ROC curve: which images are defective",
        curve_plot(
            curve,
            said="; ".join([said, *(point[3] for point in points)]) + ".",
            across="good images above the limit",
            up="defective images above it",
            points=points,
        ),
        marks,
    )


def _promise(product: ProductReport) -> Child:
    check = product.promise
    if check is None or product.limits is None:
        return None
    parts: list[Child] = [element("h3", "Calibration check")]
    if check.promised is None:
        parts.append(
            element(
                "p",
                "This product was not calibrated: it is judged by limits pooled over other "
                "products, which promise nothing for it.",
                class_="note",
            )
        )
    parts.append(promise_table(product))
    p_values = [row.p_value for row in product.good if row.p_value is not None]
    if len(p_values) < _FEW_P_VALUES:
        return parts
    limits = product.limits
    band = None if limits.pooled else p_value_band(len(p_values), limits.n)
    plot = _plot(
        "Are the p-values of good images even?",
        p_value_plot(
            p_values,
            said=f"Share of the {len(p_values)} good test images with a p-value of at most α, "
            "against α; on the diagonal if they are like the calibration images.",
            rates=[(limits.defect_rate, "defect"), (limits.unsure_rate, "unsure")],
            band=band,
        ),
        None if band is None else key("band", "usual range (95 % at each α)"),
    )
    text = element(
        "p",
        f"The limits come from {words.count(limits.n, 'good image')} set aside in calibration. If "
        f"the {len(p_values)} good test images are of the same sort, the stairs stay near the "
        "diagonal. Stairs far above it on the left: more alarms than promised, these parts or "
        "pictures differ from those of the calibration. Far below: the limits are looser than they "
        "need be. “Usual number” counts the alarms that are still likely (97.5 %) with so few "
        "images on both sides.",
    )
    parts.append(element("div", plot, text, class_="beside"))
    return parts


def timing_section(report: Report) -> Html:
    """How long loading and judging took."""
    timing = report.timing
    rows: list[list[Child]] = []
    if timing.load is not None:
        rows.append(["Loading the model", words.seconds(timing.load), "once"])
    if timing.single:
        low, high = words.seconds(min(timing.single)), words.seconds(max(timing.single))
        rows.append(
            [
                "One image by itself, from file to verdict",
                words.seconds(median(timing.single)),
                f"median of {len(timing.single)}, {low} to {high}",
            ]
        )
    if timing.images:
        rows.append(
            [
                "One image of many, in batches",
                words.seconds(timing.judging / timing.images),
                f"mean of {timing.images}, {words.seconds(timing.judging)} in all",
            ]
        )
    return _section("timing", "Timing", table("On this machine", ["What", "Time", "How"], rows))


def facts_section(report: Report) -> Html:
    """Model, data and this run."""
    groups = [
        element(
            "div",
            element("h3", heading),
            element(
                "dl",
                [[element("dt", name), element("dd", value)] for name, value in facts.items()],
            ),
        )
        for heading, facts in report.facts.items()
    ]
    return _section("facts", "Model and data", element("div", groups, class_="facts"))


def notes_section(report: Report) -> Html:
    """What else the reader should know."""
    failures = [f"Not read: {reason}" for _, reason in report.evaluation.failures]
    notes = [*failures, *report.notes]
    content = (
        element("ul", [element("li", note) for note in notes])
        if notes
        else element("p", "Nothing to note.")
    )
    return _section("notes", "Notes", content)


def _section(anchor: str, title: str, *children: Child) -> Html:
    return element("section", element("h2", title), children, id=anchor)


def key(colour: str, meaning: str) -> Html:
    """A dot of a colour and what it means, on one line."""
    return element("span", element("span", class_=f"dot {colour}"), meaning, class_="mark")


def _plot(title: str, svg: Html, below: Child) -> Html:
    caption = element("figcaption", below, class_="key") if below is not None else None
    return element("figure", element("h4", title), svg, caption, class_="plot")


def _no_plot(title: str, reason: str) -> Html:
    return element("figure", element("h4", title), element("p", reason), class_="plot empty")
