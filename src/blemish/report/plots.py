"""The plots of a report as inline SVG: histogram, curves, p-values. Colours come from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blemish.calibration.limits import Limits
from blemish.metrics.curves import Curve
from blemish.report import words
from blemish.report.html import Html, element, join

# The size on a phone: there the letters keep their 12 px, elsewhere they grow a little.
_WIDTH, _HEIGHT = 360.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 10.0, 12.0, 40.0
_BINS = 32


@dataclass(frozen=True)
class _Axis:
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
    """At most ``most`` round numbers from ``low`` to ``high``.

    Example:
        >>> from blemish.report.plots import nice_ticks
        >>> nice_ticks(0.0, 1.0, 6)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
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
) -> Html:
    """Good scores upwards and defective ones downwards, with the calibrated limits.

    Args:
        good, defective: Raw scores, at least one in all.
        limits: ``None`` without calibration.

    Example:
        >>> from blemish.report.plots import score_histogram
        >>> score_histogram([1.0, 1.1], [2.0], None)[:4]
        '<svg'
    """
    edges, cut = histogram_edges(good, defective, limits)
    up = np.histogram(np.minimum(good, edges[-1]), edges)[0]
    down = np.histogram(np.minimum(defective, edges[-1]), edges)[0]
    x = _Axis(edges[0], edges[-1], _LEFT, _WIDTH - _RIGHT)
    top, bottom = _TOP + 32.0, _HEIGHT - _BOTTOM
    # The larger group would flatten the other on a common scale.
    share = 0.5 if len(defective) and len(good) else 1.0 if len(good) else 0.0
    base = top + share * (bottom - top)
    above = _Axis(0.0, max(float(up.max()), 1.0), base, top)
    below = _Axis(0.0, max(float(down.max()), 1.0), base, bottom)
    parts: list[Html] = []
    for counts, axis, name in ((up, above, "good"), (down, below, "bad")):
        if counts.any():
            parts += [_bar(x, axis, edges, i, int(n), name, cut) for i, n in enumerate(counts) if n]
            parts += [
                _label(_LEFT - 6, axis(tick) + 4, f"{tick:g}", "end")
                for tick in axis.ticks(3)
                if tick == int(tick) and (tick > 0 or axis is above)
            ]
    parts.append(_line(_LEFT, base, _WIDTH - _RIGHT, base, "axis"))
    parts += [
        _label(x(tick), _HEIGHT - _BOTTOM + 16, words.score(tick), "middle") for tick in x.ticks(6)
    ]
    if limits is not None:
        parts += _limit_marks(x, limits, bottom)
    ending = f"score (the last bar: {words.score(edges[-2])} and above)" if cut else "score"
    parts.append(_label((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, ending, "middle"))
    parts.append(_label(13, (top + bottom) / 2, "images", "middle", turned=True))
    said = f"Histogram of the scores: {len(good)} good images upwards"
    if len(good):
        said += f" ({_span(good)})"
    said += f", {len(defective)} defective images downwards"
    if len(defective):
        said += f" ({_span(defective)})"
    if limits is not None:
        said += f"; unsure above {words.score(limits.unsure)}"
        said += f", defect above {words.score(limits.defect)}"
    return _svg(said + ".", parts)


def histogram_edges(
    good: Sequence[float], defective: Sequence[float], limits: Limits | None
) -> tuple[list[float], bool]:
    """Edges of the bins, and whether the last one takes everything above it too.

    Defects can score a hundred times the limit; on an axis that shows them all, good parts and
    limits would be one bar.

    Example:
        >>> from blemish.report.plots import histogram_edges
        >>> edges, cut = histogram_edges([0.0, 1.0], [900.0], None)
        >>> edges[-1] < 10, cut
        (True, True)
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


def _bar(x: _Axis, y: _Axis, edges: list[float], i: int, n: int, name: str, cut: bool) -> Html:
    left, right = x(edges[i]), x(edges[i + 1])
    ends = sorted((y(0.0), y(float(n))))
    open_ended = cut and i == len(edges) - 2
    span = f"{words.score(edges[i])} " + (
        "and above" if open_ended else f"to {words.score(edges[i + 1])}"
    )
    noun = "good image" if name == "good" else "defective image"
    return element(
        "rect",
        element("title", f"{words.count(n, noun)}, score {span}"),
        x=left + 0.5,
        y=ends[0],
        width=right - left - 1.0,
        height=ends[1] - ends[0],
        class_=name,
    )


def _limit_marks(x: _Axis, limits: Limits, bottom: float) -> list[Html]:
    marks = [("defect", limits.defect)]
    if limits.unsure < limits.defect:
        marks.append(("unsure", limits.unsure))
    # Labels to the right of their lines stand below those of lines farther left, and the other way
    # round, so that no line runs through a label.
    to_the_left = x(limits.defect) > (_LEFT + _WIDTH - _RIGHT) / 2
    parts = []
    for row, (name, value) in enumerate(marks if to_the_left else marks[::-1]):
        at = x(value)
        y = _TOP + 2 + 15 * row
        parts.append(_line(at, y - 8, at, bottom, f"limit {name}"))
        parts.append(
            _label(
                at - 5 if to_the_left else at + 5,
                y + 2,
                f"{name} above {words.score(value)}",
                "end" if to_the_left else "start",
                class_=f"on-{name}",
            )
        )
    return parts


def curve_plot(
    curve: Curve,
    *,
    said: str,
    across: str,
    up: str,
    x_max: float = 1.0,
    points: Sequence[tuple[float, float, str, str]] = (),
) -> Html:
    """A ROC or PRO curve.

    Args:
        curve: Not empty.
        said: The plot in one sentence, for those who cannot see it.
        across, up: Names of the axes.
        x_max: Largest false-positive rate shown.
        points: Operating points: x, y, name of the verdict, label.

    Example:
        >>> from blemish.metrics import roc_curve
        >>> from blemish.report.plots import curve_plot
        >>> svg = curve_plot(roc_curve([1, 2], [0, 1]), said="ROC.", across="x", up="y")
        >>> "<path" in svg
        True
    """
    x, y, parts = _frame(x_max, across, up)
    inside = curve.fpr <= x_max
    last = float(np.interp(x_max, curve.fpr, curve.rate))
    xs = [*curve.fpr[inside].tolist(), x_max]
    ys = [*curve.rate[inside].tolist(), last]
    if x_max == 1.0:
        parts.append(_line(x(0.0), y(0.0), x(1.0), y(1.0), "diagonal"))
    parts.append(_path([x(v) for v in xs], [y(v) for v in ys], "curve"))
    for at, height, name, label in points:
        if at <= x_max:
            parts.append(
                element(
                    "circle",
                    element("title", label),
                    cx=x(at),
                    cy=y(height),
                    r=5,
                    class_=f"point {name}",
                )
            )
    return _svg(said, parts)


def p_value_plot(
    p_values: Sequence[float],
    *,
    said: str,
    rates: Sequence[tuple[float, str]],
    band: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None,
) -> Html:
    """How many good images have a p-value of at most α, against α: the diagonal if all is well.

    Args:
        p_values: Of the good test images, at least one.
        said: The plot in one sentence.
        rates: False-alarm and unsure rate with the names of their verdicts.
        band: α, lower and upper border of what is usual.

    Example:
        >>> from blemish.report.plots import p_value_plot
        >>> "<path" in p_value_plot([0.2, 0.9], said="p-values.", rates=[], band=None)
        True
    """
    x, y, parts = _frame(1.0, "p-value α", "good images with p ≤ α")
    if band is not None:
        alpha, low, high = band
        there = [(x(a), y(h)) for a, h in zip(alpha, high, strict=True)]
        back = [(x(a), y(v)) for a, v in zip(alpha, low, strict=True)][::-1]
        around = " ".join(f"{a:.1f},{b:.1f}" for a, b in there + back)
        parts.append(element("polygon", points=around, class_="band"))
    parts.append(_line(x(0.0), y(0.0), x(1.0), y(1.0), "diagonal"))
    for rate, name in rates:
        parts.append(_line(x(rate), y(0.0), x(rate), y(1.0), f"limit {name}"))
    ordered = sorted(p_values)
    xs, ys = [0.0], [0.0]
    for i, p in enumerate(ordered):
        xs += [p, p]
        ys += [i / len(ordered), (i + 1) / len(ordered)]
    parts.append(_path([x(v) for v in [*xs, 1.0]], [y(v) for v in [*ys, 1.0]], "curve"))
    return _svg(said, parts)


def _frame(x_max: float, across: str, up: str) -> tuple[_Axis, _Axis, list[Html]]:
    x = _Axis(0.0, x_max, _LEFT, _WIDTH - _RIGHT)
    y = _Axis(0.0, 1.0, _HEIGHT - _BOTTOM, _TOP)
    parts = []
    for tick in y.ticks(6):
        parts.append(_line(x.start, y(tick), x.end, y(tick), "grid"))
        parts.append(_label(x.start - 6, y(tick) + 4, f"{tick:g}", "end"))
    for tick in x.ticks(7):
        parts.append(_line(x(tick), y.start, x(tick), y.end, "grid"))
        parts.append(_label(x(tick), y.start + 16, f"{tick:g}", "middle"))
    parts.append(_label((x.start + x.end) / 2, _HEIGHT - 6, across, "middle"))
    parts.append(_label(13, (y.start + y.end) / 2, up, "middle", turned=True))
    return x, y, parts


def _span(values: Sequence[float]) -> str:
    return f"{words.score(min(values))} to {words.score(max(values))}"


def _path(xs: Sequence[float], ys: Sequence[float], name: str) -> Html:
    steps = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))
    return element("path", d=f"M{steps}", class_=name)


def _line(x1: float, y1: float, x2: float, y2: float, name: str) -> Html:
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=name)


def _label(
    x: float, y: float, what: str, anchor: str, *, turned: bool = False, class_: str | None = None
) -> Html:
    turn = f"rotate(-90 {x:.1f} {y:.1f})" if turned else None
    return element(
        "text", what, x=float(x), y=float(y), text_anchor=anchor, transform=turn, class_=class_
    )


def _svg(said: str, parts: Sequence[Html]) -> Html:
    return element(
        "svg", join(parts), viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}", role="img", aria_label=said
    )
