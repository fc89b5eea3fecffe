from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from stand_in import limits_at

from blemish.metrics import roc_curve
from blemish.metrics.curves import Curve
from blemish.report.plots import (
    curve_plot,
    histogram_edges,
    nice_ticks,
    p_value_plot,
    score_histogram,
)
from blemish.report.promise import p_value_band


def counted(svg: str, what: str) -> int:
    return sum(int(n) for n in re.findall(rf"<title>(\d+) {what} images?,", svg))


def numbers(svg: str) -> list[float]:
    """Every number of the drawing itself."""
    root = ElementTree.fromstring(svg)
    found = []
    for node in root.iter():
        for key in ("x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "width", "height", "d", "points"):
            found += [float(n) for n in re.findall(r"-?[\d.]+|nan|inf", node.get(key, ""))]
    return found


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 1, 6, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.3, 7, [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]),
        (-3.1, 12.9, 5, [0, 5, 10]),
        (1234, 1239, 4, [1234, 1236, 1238]),
        (0, 1e-7, 3, [0, 5e-8, 1e-7]),
    ],
)
def test_ticks_are_round_and_inside(
    low: float, high: float, most: int, expected: list[float]
) -> None:
    assert nice_ticks(low, high, most) == expected


@pytest.mark.parametrize("seed", range(5))
def test_the_histogram_holds_every_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    good = rng.normal(3, 1, 40).tolist()
    bad = (10 ** rng.uniform(0, 4, 30)).tolist()  # some far beyond the axis
    svg = score_histogram(good, bad, limits_at(5.0).limits("nut"))
    assert counted(svg, "good") == 40
    assert counted(svg, "defective") == 30
    assert "and above" in svg
    assert all(-1 <= n <= 361 for n in numbers(svg))
    assert "defect above 5" in svg
    assert "unsure above" in svg


def test_the_axis_reaches_from_the_best_part_past_the_limit() -> None:
    limits = limits_at(5.0).limits("nut")
    edges, cut = histogram_edges([1.0, 2.0], [6.0], limits)
    assert (edges[0], edges[-1], cut) == (1.0, 6.0, False)
    edges, cut = histogram_edges([1.0, 2.0], [1000.0], limits)
    assert cut
    assert 5.0 < edges[-1] < 30.0


@pytest.mark.parametrize(
    ("good", "bad"),
    [([1.0], []), ([], [1.0]), ([2.0, 2.0], [2.0]), ([0.0], [0.0]), ([-1e9], [1e9])],
)
def test_few_or_equal_scores_are_drawn(good: list[float], bad: list[float]) -> None:
    svg = score_histogram(good, bad, None)
    assert counted(svg, "good") == len(good)
    assert counted(svg, "defective") == len(bad)
    assert all(np.isfinite(numbers(svg)))
    assert "limit" not in svg


def test_equal_limits_are_marked_once() -> None:
    svg = score_histogram([1.0, 2.0], [3.0], limits_at(5.0, n=5).limits("nut"))
    assert "defect above 5" in svg
    assert 'class="limit unsure"' not in svg


def test_no_limit_runs_through_the_other_ones_label() -> None:
    for limit in (2.0, 9.0):
        limits = limits_at(limit).at(unsure_rate=0.3).limits("nut")
        svg = score_histogram([0.0, 10.0], [10.0], limits)
        root = ElementTree.fromstring(svg)
        label = {t.get("class"): t for t in root.iter("text") if t.get("class")}
        line = {t.get("class"): t for t in root.iter("line")}
        for own, other in (("unsure", "defect"), ("defect", "unsure")):
            words, mark = label[f"on-{own}"], line[f"limit {other}"]
            x, at = float(words.get("x")), float(mark.get("x1"))
            beside = at > x if words.get("text-anchor") == "end" else at < x
            assert beside or float(mark.get("y1")) > float(words.get("y")) - 2


def test_a_curve_ends_where_the_axis_does() -> None:
    curve = Curve(np.array([0.0, 0.1, 0.5, 1.0]), np.array([0.0, 0.6, 0.8, 1.0]))
    svg = curve_plot(curve, said="PRO.", across="x", up="y", x_max=0.3)
    path = re.search(r'd="M([^"]+)"', svg)
    assert path is not None
    last = [float(n) for n in path[1].split()[-1].split(",")]
    assert last[0] == pytest.approx(350.0)  # the right end
    assert last[1] == pytest.approx(12 + (250 - 40 - 12) * (1 - 0.7), abs=0.1)  # half way, 0.7


def test_operating_points_lie_on_the_roc_curve() -> None:
    curve = roc_curve([1, 2, 3, 4], [0, 1, 0, 1])
    svg = curve_plot(
        curve, said="ROC.", across="x", up="y", points=[(0.5, 1.0, "defect", "here <it> is")]
    )
    root = ElementTree.fromstring(svg)
    circle = next(root.iter("circle"))
    assert (circle.get("cx"), circle.get("cy")) == ("198", "12")
    assert "here &lt;it&gt; is" in svg


def test_p_values_climb_in_equal_steps() -> None:
    svg = p_value_plot(
        [0.5, 0.1, 0.1, 1.0], said="p.", rates=[(0.05, "defect")], band=p_value_band(4, 9)
    )
    path = re.search(r'd="M([^"]+)"', svg)
    assert path is not None
    corners = [tuple(float(n) for n in pair.split(",")) for pair in path[1].split()]
    assert corners[0] == (46.0, 210.0)
    assert corners[-1] == (350.0, 12.0)
    at_a_tenth = [y for x, y in corners if x == pytest.approx(46 + 30.4, abs=0.05)]
    assert min(at_a_tenth) == pytest.approx(210 - 99)  # two of four
    assert "<polygon" in svg


@pytest.mark.parametrize(
    "svg",
    [
        score_histogram([1.0], [2.0], None),
        curve_plot(roc_curve([1, 2], [0, 1]), said="ROC.", across="x", up="y"),
        p_value_plot([0.3], said="p.", rates=[], band=None),
    ],
)
def test_every_plot_is_said_in_words(svg: str) -> None:
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert len(root.get("aria-label", "")) > 1
