"""Summary cards: a report in plain sentences, on what is stopped, missed and weakest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from blemish.metrics.intervals import binomial_interval
from blemish.report import words
from blemish.report.data import Group, KindReport, ProductReport, Report, Verdicts
from blemish.results import Verdict

# Fewer images than this, and one image more or less changes the picture.
_FEW = 30


@dataclass(frozen=True)
class Card:
    """One thing to know.

    Attributes:
        title: What it is about.
        figure: The number to remember, such as ``2 of 20``; empty for none.
        meaning: What the number counts.
        lines: What else to know of it, one sentence each.
        items: Names and what is to be said of each.
        verdicts: Of the images it speaks of.
        tone: ``ok``, ``unsure`` or ``defect`` where the figure is good, doubtful or bad news.
        about: ``alarms`` or ``misses`` where a report shows pictures of such images.
        worst_product: The product that has most of them.
    """

    title: str
    figure: str
    meaning: str
    lines: tuple[str, ...] = ()
    items: tuple[tuple[str, str], ...] = ()
    verdicts: Verdicts | None = None
    tone: str = ""
    about: str = ""
    worst_product: str = ""

    @property
    def sentence(self) -> str:
        """The card as one line of text."""
        head = f"{self.figure} {self.meaning}".strip()
        items = [f"{name}: {said}" for name, said in self.items]
        return " ".join([f"{self.title}: {head}.", *self.lines, *items])


def summary_cards(report: Report) -> list[Card]:
    """What a reader should know after a minute."""
    first = [_stopped(report), _missed(report)] if report.calibrated else [_uncalibrated(report)]
    others = [_unlearned(report)] if report.evaluation.unlearned else []
    return [*first, *others, _weakest_kinds(report), *_weakest_products(report)]


def _unlearned(report: Report) -> Card:
    names = report.evaluation.unlearned
    rows = [row for product in report.products if product.name in names for row in product.rows]
    return Card(
        "Not learned",
        words.count(len(rows), "image"),
        f"of {words.count(len(names), 'product')} that the model never learned are in none of "
        f"these figures: {', '.join(names)}",
        ("Their figures by product are below; they say nothing of the products learned.",),
        tone="unsure",
    )


def _uncalibrated(report: Report) -> Card:
    return Card(
        "No verdicts",
        "",
        "the model is not calibrated, so it cannot say which parts it would stop",
        (
            "Run: blemish calibrate MODEL GOOD_DIR. Below is how well its scores tell good "
            "from defective.",
        ),
        items=tuple(
            (product.name, f"image AUROC {words.fraction(product.auroc.estimate)}.")
            for product in report.learned[:3]
        ),
        tone="unsure",
    )


def _stopped(report: Report) -> Card:
    title = "Good parts"
    verdicts = report.good.verdicts
    if verdicts is None:
        unknown = "none among the test images, so false alarms are unknown"
        return Card(title, "", unknown, tone="unsure")
    share = binomial_interval(verdicts.defect, verdicts.total)
    lines = []
    if verdicts.unsure:
        lines.append(f"{verdicts.unsure} more would be set aside as unsure.")
    lines.append(_caution(verdicts.total, f"the true share is likely {words.share_range(share)}"))
    broken = _broken_promises(report)
    promised = [p.promise.promised for p in report.learned if p.promise]
    rates = [rate for rate in promised if rate is not None]
    if broken:
        lines.append(
            f"More than the calibration promised: {'; '.join(broken)}. Calibrate again with good "
            "images like these."
        )
    elif rates and len(rates) == len(promised):
        lines.append(_kept_promise(report, max(rates), above=share.low > max(rates)))
    return Card(
        title,
        f"{verdicts.defect} of {verdicts.total}",
        f"good parts would be stopped ({words.percent(share.estimate)})",
        tuple(lines),
        verdicts=verdicts,
        tone="defect" if broken else "unsure" if verdicts.defect else "ok",
        about="alarms",
        worst_product=_most(report, "defect", lambda product: product.good),
    )


def _kept_promise(report: Report, rate: float, *, above: bool) -> str:
    """The promise beside a count that does not contradict it, also where the two look apart."""
    said = f"Promised: at most {words.percent(rate)} on average."
    if not above:
        return f"{said} The count does not contradict that."
    [first, *others] = [p for p in report.learned if p.promise and p.promise.good]
    if others or first.limits is None or first.promise is None:
        return (
            f"{said} The count is above that and yet within what is usual for each product: limits "
            "from few good images promise an average over many calibrations, not this one's rate."
        )
    behind = words.count(first.limits.n, "good image")
    return (
        f"{said} The count is above that and yet does not contradict it: with only {behind} behind "
        f"the limits and {words.count(first.promise.good, 'good image')} tested, up to "
        f"{first.promise.usual} stopped ones are usual. The promise is an average over many "
        "calibrations; more good images bring this one nearer to it."
    )


def _broken_promises(report: Report) -> list[str]:
    """What happens to good parts of each product more often than its calibration promised."""
    said = []
    for product in report.learned:
        for check, what in ((product.promise, "stopped"), (product.unsure_promise, "not ok")):
            if check is not None and check.promised is not None and check.kept is False:
                said.append(
                    f"{product.name} {check.alarms} of {check.good} {what} "
                    f"(at most {words.percent(check.promised)})"
                )
                break
    return said


def _most(report: Report, verdict: Verdict, group: Callable[[ProductReport], Group]) -> str:
    """The product with most images of a verdict in a group, the first one in case of none."""
    given = {p.name: [row.verdict for row in group(p)].count(verdict) for p in report.learned}
    return max(given, key=given.__getitem__)


def _missed(report: Report) -> Card:
    title = "Defects"
    verdicts = report.defective.verdicts
    if verdicts is None:
        return Card(title, "", "none among the test images, so misses are unknown", tone="unsure")
    share = binomial_interval(verdicts.ok, verdicts.total)
    lines = []
    if verdicts.unsure:
        lines.append(f"{verdicts.unsure} more are only unsure: somebody has to look at them.")
    lines.append(_caution(verdicts.total, f"the true share is likely {words.share_range(share)}"))
    right, known = report.defective.located
    if known:
        lines.append(
            f"In {right} of {known} found ones with a ground truth, the marked area touches the "
            "true defect."
        )
    return Card(
        title,
        f"{verdicts.ok} of {verdicts.total}",
        f"defects are missed ({words.percent(share.estimate)})",
        tuple(lines),
        verdicts=verdicts,
        tone="defect" if verdicts.ok else "unsure" if verdicts.unsure else "ok",
        about="misses",
        worst_product=_most(report, "ok", lambda product: product.defective),
    )


def _caution(total: int, statement: str) -> str:
    if total < _FEW:
        return f"Only {words.count(total, 'image')}: {statement}."
    return statement[0].upper() + statement[1:] + "."


def _weakest_kinds(report: Report) -> Card:
    title = "Weakest defect kinds"
    kinds = [kind for kind in report.kinds if kind.rows]
    if not kinds:
        return Card(title, "", "there are no defective test images")
    several = len(report.learned) > 1
    if kinds[0].verdicts is None:
        ranked = [k for k in kinds if math.isfinite(k.auroc.estimate)][:3]
        items = [(_name(k, several), f"AUROC {words.fraction(k.auroc.estimate)}.") for k in ranked]
        meaning = "by how well scores tell them from good parts"
        return Card(title, "", meaning, items=tuple(items))
    weak = [k for k in kinds if k.verdicts and k.verdicts.ok + k.verdicts.unsure][:3]
    if not weak:
        closest = min(kinds, key=lambda k: (k.auroc.estimate, min(row.score for row in k.rows)))
        lowest = words.score(min(row.score for row in closest.rows))
        line = f"Nearest to good parts: {_name(closest, several)}, lowest score {lowest}"
        limits = next(p.limits for p in report.learned if p.name == closest.product)
        line += f", limit {words.score(limits.defect)}." if limits else "."
        return Card(title, "", "every defect of every kind is called a defect", (line,), tone="ok")
    items = []
    for kind in weak:
        v = kind.verdicts
        assert v is not None
        unsure = f", {v.unsure} unsure" if v.unsure else ""
        items.append((_name(kind, several), f"{v.ok} of {v.total} missed{unsure}."))
    missed = sum(1 for k in kinds if k.verdicts and k.verdicts.ok)
    meaning = (
        f"{missed} of {words.count(len(kinds), 'kind')} with misses"
        if missed
        else "no kind is missed, but some defects are only unsure"
    )
    return Card(title, "", meaning, items=tuple(items), tone="defect" if missed else "unsure")


def _name(kind: KindReport, with_product: bool) -> str:
    return f"{kind.product} / {kind.kind}" if with_product else kind.kind


def _weakest_products(report: Report) -> list[Card]:
    if len(report.learned) < 2:
        return []
    ranked = sorted(report.learned, key=_product_weakness)
    items = []
    for product in ranked[:3]:
        good, bad = product.good.verdicts, product.defective.verdicts
        said = []
        if bad is not None:
            said.append(f"{bad.ok} of {bad.total} defects missed")
        if good is not None:
            said.append(f"{good.defect} of {good.total} good parts stopped")
        if math.isfinite(product.auroc.estimate):
            said.append(f"AUROC {words.fraction(product.auroc.estimate)}")
        items.append((product.name, f"{', '.join(said)}."))
    return [Card("Weakest products", "", "the most misses first", items=tuple(items))]


def _product_weakness(product: ProductReport) -> tuple[float, float]:
    bad = product.defective.verdicts
    missed = -binomial_interval(bad.ok, bad.total).low if bad is not None else 0.0
    auroc = product.auroc.estimate
    return missed, auroc if math.isfinite(auroc) else 1.0
