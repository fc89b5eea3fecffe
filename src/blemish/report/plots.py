"""Plots as inline SVG: histogram, curves, p-values; colours come from the page's styles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from blemish.calibration import Limits
from blemish.metrics.curves import Curve, roc_curve
from blemish.report import words
from blemish.report.data import ProductReport
from blemish.report.promise import p_value_band

# Where the axes end, in a drawing of 360 × 250.
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 350.0, 12.0, 210.0
_BINS = 32
_PRO_RANGE = 0.3  # AUPRO is the area up to here
# With fewer good images a staircase of p-values says nothing.
_FEW_P_VALUES = 5


def roc_plot(product: ProductReport) -> Markup | None:
    """The ROC curve of a product's images with its operating points; ``None`` with one class."""
    auroc = product.auroc
    if not math.isfinite(auroc.estimate):
        return None
    good, bad = product.good.verdicts, product.defective.verdicts
    points = []
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
    return curve_plot(
        roc_curve(product.rows.scores, [row.kind != "good" for row in product.rows]),
        said="; ".join([said, *(point[3] for point in points)]) + ".",
        across="good images above the limit",
        up="defective images above it",
        points=points,
    )


def pro_plot(product: ProductReport) -> Markup | None:
    """The PRO curve of a product's pixels; ``None`` without masks."""
    if product.pro is None or not len(product.pro.fpr):
        return None
    aupro = words.fraction(product.result.metrics["pixel_aupro"])
    return curve_plot(
        product.pro,
        said=f"PRO curve of the pixels up to a false-positive rate of 0.3; AUPRO {aupro}.",
        across="good pixels marked wrongly",
        up="defect area found (mean)",
        x_max=_PRO_RANGE,
    )


def calibration_plot(product: ProductReport) -> Markup | None:
    """The p-values of a product's good images; ``None`` of too few of them."""
    p_values, limits = product.p_values, product.limits
    if limits is None or len(p_values) < _FEW_P_VALUES:
        return None
    return p_value_plot(
        p_values,
        said=f"Share of the {len(p_values)} good test images with a p-value of at most α, "
        "against α; on the diagonal if they are like the calibration images.",
        rates=[(limits.defect_rate, "defect"), (limits.unsure_rate, "unsure")],
        band=None if limits.pooled else p_value_band(len(p_values), limits.n),
    )


class _Axis(NamedTuple):
    """Values from ``low`` to ``high`` on pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        return nice_ticks(self.low, self.high, most)


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """At most ``most`` round numbers from ``low`` to ``high``."""
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1, 2, 5, 10, 20):
        step = factor * power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    # Multiplied and rounded, not added up, so that 0.30000000000000004 is never a label.
    digits = max(0, 1 - math.floor(math.log10(step)))
    return [round(i * step, digits) + 0.0 for i in range(first, last + 1)]


def score_histogram(
    good: Sequence[float], defective: Sequence[float], limits: Limits | None
) -> Markup:
    """Good scores upwards, defective ones downwards, at least one in all, and the limits."""
    edges, cut = histogram_edges(good, defective, limits)
    x = _Axis(edges[0], edges[-1], _LEFT, _RIGHT)
    y = _Axis(0.0, 1.0, _BOTTOM, _TOP + 32.0)  # below the limits' labels
    # The larger group would flatten the other on a common scale.
    base = y(0.5 if len(defective) and len(good) else 0.0 if len(good) else 1.0)
    said = f"Histogram of the scores: {len(good)} good images upwards"
    said += f" ({_span(good)})" if len(good) else ""
    said += f", {len(defective)} defective images downwards"
    said += f" ({_span(defective)})" if len(defective) else ""
    bars, counts = [], []
    for group, scores, end in (("good", good, y.end), ("bad", defective, y.start)):
        images = np.histogram(np.minimum(scores, edges[-1]), edges)[0]
        if not images.any():
            continue
        axis = _Axis(0.0, float(images.max()), base, end)
        noun = "good image" if group == "good" else "defective image"
        for low, high, n in zip(edges, edges[1:], images.tolist(), strict=False):
            span = "and above" if cut and high == edges[-1] else f"to {words.score(high)}"
            title = f"{words.count(n, noun)}, score {words.score(low)} {span}"
            if n:
                bars.append((x(low), x(high), *sorted((base, axis(n))), group, title))
        ticks = [tick for tick in axis.ticks(3) if tick == int(tick)]
        counts += [(axis(tick), f"{tick:g}") for tick in ticks if tick > 0 or group == "good"]
    marks: list[tuple[str, float]] = []
    if limits is not None:
        said += f"; unsure above {words.score(limits.unsure)}"
        said += f", defect above {words.score(limits.defect)}"
        marks = [("defect", limits.defect)]
        if limits.unsure < limits.defect:
            marks.append(("unsure", limits.unsure))
    to_the_left = limits is not None and x(limits.defect) > (x.start + x.end) / 2
    return _drawn(
        "histogram",
        f"{said}.",
        x=x,
        y=y,
        base=base,
        bars=bars,
        counts=counts,
        limits=marks if to_the_left else marks[::-1],
        to_the_left=to_the_left,
        across=f"score (the last bar: {words.score(edges[-2])} and above)" if cut else "score",
    )


def histogram_edges(
    good: Sequence[float], defective: Sequence[float], limits: Limits | None
) -> tuple[list[float], bool]:
    """Edges of the bins, and whether the last one takes everything above it too.

    Defects can score a hundred times the limit; on an axis that shows them all, good parts and
    limits would be one bar.
    """
    values = np.asarray([*good, *defective], np.float64)
    low, high = float(values.min()), float(values.max())
    interest = max(good) if len(good) else low
    if limits is not None:
        low, interest = min(low, limits.unsure), max(interest, limits.defect)
        high = max(high, limits.defect)
    if not high > low:
        pad = abs(low) * 0.05 or 0.5
        return np.linspace(low - pad, low + pad, 3).tolist(), False
    widest = low + 4.0 * (interest - low) if interest > low else high
    cut = high > 1.25 * (widest - low) + low
    end = widest if cut else high
    return np.linspace(low, end, _BINS + 1).tolist(), cut


def curve_plot(
    curve: Curve,
    *,
    said: str,
    across: str,
    up: str,
    x_max: float = 1.0,
    points: Sequence[tuple[float, float, str, str]] = (),
) -> Markup:
    """A ROC or PRO curve, not empty, up to the false-positive rate ``x_max``.

    ``said`` is the plot in one sentence, for those who cannot see it; ``across`` and ``up`` name
    the axes; an operating point is x, y, name of the verdict, label.
    """
    x, y = _axes(x_max)
    inside = curve.fpr <= x_max
    xs = [*curve.fpr[inside].tolist(), x_max]
    ys = [*curve.rate[inside].tolist(), float(np.interp(x_max, curve.fpr, curve.rate))]
    return _drawn(
        "curve",
        said,
        x=x,
        y=y,
        across=across,
        up=up,
        path=_path(x, y, xs, ys),
        points=[point for point in points if point[0] <= x_max],
        diagonal=x_max == 1.0,
    )


def p_value_plot(
    p_values: Sequence[float],
    *,
    said: str,
    rates: Sequence[tuple[float, str]],
    band: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None,
) -> Markup:
    """How many good images have a p-value of at most α, against α: the diagonal if all is well.

    ``rates`` come with the names of their verdicts; ``band`` is α with the lower and the upper
    border of what is usual.
    """
    x, y = _axes(1.0)
    ordered = np.sort(p_values)
    steps = np.arange(len(ordered) + 1) / len(ordered)
    around = ""
    if band is not None:
        alpha, low, high = band
        around = f"{_path(x, y, alpha, high)} {_path(x, y, alpha[::-1], low[::-1])}"
    return _drawn(
        "p_values",
        said,
        x=x,
        y=y,
        path=_path(x, y, [0.0, *ordered.repeat(2), 1.0], steps.repeat(2)),
        band=around,
        rates=rates,
    )


def _axes(x_max: float) -> tuple[_Axis, _Axis]:
    return _Axis(0.0, x_max, _LEFT, _RIGHT), _Axis(0.0, 1.0, _BOTTOM, _TOP)


def _span(values: Sequence[float]) -> str:
    return f"{words.score(min(values))} to {words.score(max(values))}"


def _path(x: _Axis, y: _Axis, xs: Iterable[float], ys: Iterable[float]) -> str:
    return " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(xs, ys, strict=True))


def _drawn(macro: str, said: str, **values: object) -> Markup:
    drawing: Markup = getattr(words.template("plots.svg").module, macro)(said, **values)
    return drawing.strip()
