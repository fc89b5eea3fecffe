"""Histogram mode: inside its own bound always, exact while it can be, bounded in size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from metric_reference import blobs
from numpy.typing import NDArray

from blemish.metrics import PixelAccumulator, Ranking, bounds, pixel_metrics
from blemish.metrics.overlap import overlap_area, overlap_range
from blemish.metrics.pixel import accumulate_pixels
from blemish.metrics.score_store import BinnedScores, lowest_value, ordered_keys
from blemish.metrics.score_table import ScoreTable

any_float = st.floats(width=32, allow_nan=False)


@given(hnp.arrays(np.float32, st.integers(1, 50), elements=any_float))
@settings(max_examples=200, deadline=None)
def test_keys_rank_as_the_values_do(values: NDArray) -> None:
    keys = ordered_keys(values)
    np.testing.assert_array_equal(keys[:, None] < keys, values[:, None] < values)
    np.testing.assert_array_equal(keys[:, None] == keys, values[:, None] == values)
    np.testing.assert_array_equal(lowest_value(keys, 0), values)
    for shift in (7, 20, 31):
        assert (lowest_value(keys >> np.uint32(shift), shift) <= values).all()


@st.composite
def small_sets(draw: st.DrawFn) -> tuple[list[NDArray], list[NDArray], float]:
    elements = draw(st.sampled_from([any_float, st.floats(0, 1, width=32)]))
    count = draw(st.integers(1, 3))
    maps = [draw(hnp.arrays(np.float32, (4, 6), elements=elements)) for _ in range(count)]
    masks = [draw(hnp.arrays(np.bool_, (4, 6))) for _ in range(count)]
    masks[0][0, 0], masks[0][3, 5] = True, False
    return maps, masks, draw(st.sampled_from([0.05, 0.3, 1.0]))


@given(small_sets())
@settings(max_examples=300, deadline=None)
def test_exact_value_lies_inside_the_bound(case: tuple[list, list, float]) -> None:
    maps, masks, limit = case
    pixels = PixelAccumulator("histogram", max_bins=16, fpr_limit=limit)
    binned, stated = accumulate_pixels(maps, masks, pixels).compute(), pixels.error_bounds()
    for name, value in pixel_metrics(maps, masks, fpr_limit=limit).items():
        assert abs(binned[name] - value) <= stated[name] + 1e-9, name


def in_wide_bins(defective: NDArray, normal: NDArray) -> tuple[Ranking, Ranking]:
    """The exact ranking, and the one in which [1, 2) is one bin and [2, 4) another."""

    def table(values: NDArray, shift: int, *, weighted: bool) -> ScoreTable:
        keys = np.sort(ordered_keys(values.astype(np.float32)))
        ones = np.ones(len(keys), np.int64)
        weights = ones / len(ones) if weighted else None
        return ScoreTable(keys, ones, weights, 0).coarsened(shift)

    exact, binned = (
        Ranking.from_tables(
            [table(normal, shift, weighted=False)], [table(defective, shift, weighted=True)]
        )
        for shift in (0, 23)
    )
    return exact, binned


@pytest.mark.parametrize("defective_first", [True, False])
@pytest.mark.parametrize("before", [0, 3, 50])
@pytest.mark.parametrize("normals", [0, 1, 40])
def test_bounds_hold_for_the_worst_order_in_a_bin_and_are_not_loose(
    defective_first: bool, before: int, normals: int
) -> None:
    """A bin of 20 defective scores, all above or all below its normal ones; others come before."""
    if normals + before == 0:
        return
    low, high = np.linspace(1.0, 1.4, 20), np.linspace(1.5, 1.9, normals)
    if defective_first:
        low, high = low + 0.5, high - 0.5
    exact, binned = in_wide_bins(low, np.concatenate((high, np.linspace(2.0, 3.0, before))))
    assert abs(exact.auroc() - binned.auroc()) == pytest.approx(
        bounds.auroc_bound(binned), abs=1e-12
    )
    precision = exact.average_precision()
    low_end, high_end = bounds.average_precision_range(binned)
    assert low_end - 1e-12 <= precision <= high_end + 1e-12
    if not defective_first:  # the worst order, of which only a sum became an integral
        assert precision <= low_end + 0.05
    elif before == 0:
        assert precision == pytest.approx(high_end, abs=1e-12)
    value = binned.average_precision()
    stated = bounds.average_precision_bound(binned)
    assert stated == pytest.approx(max(high_end - value, value - low_end), abs=1e-12)
    f1_error = exact.f1_max().f1 - binned.f1_max().f1
    assert 0 <= f1_error <= bounds.f1_max_bound(binned) + 1e-12
    if defective_first:
        assert f1_error == pytest.approx(bounds.f1_max_bound(binned), abs=1e-12)
    for limit in (0.05, 0.3, 1.0):
        area, (low_end, high_end) = overlap_area(exact, limit), overlap_range(binned, limit)
        assert area == pytest.approx(high_end if defective_first else low_end, abs=1e-12)
        off = abs(area - overlap_area(binned, limit))
        assert off <= bounds.overlap_bound(binned, limit) + 1e-12


def test_f1_threshold_reaches_the_reported_value() -> None:
    maps, masks = blobs(np.random.default_rng(0), images=8)
    pixels = accumulate_pixels(maps, masks, PixelAccumulator("histogram", max_bins=128))
    best = pixels.f1_max()
    called, truth = np.stack(maps) >= best.threshold, np.stack(masks)
    assert best.f1 == pytest.approx(2 * (called & truth).sum() / (called.sum() + truth.sum()))


def test_few_distinct_values_are_exact_whatever_their_range() -> None:
    rng = np.random.default_rng(1)
    maps, masks = blobs(rng, images=6)
    steps = [np.round(m * 20).astype(np.float32) * np.float32(3e-30) for m in maps]
    pixels = accumulate_pixels(steps, masks, PixelAccumulator("histogram", max_bins=512))
    assert set(pixels.error_bounds().values()) == {0.0}
    assert pixels.compute() == pixel_metrics(steps, masks)


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e-6, 0), (1e12, 0), (1e-3, 5.0)])
def test_bins_adapt_to_any_range(scale: float, offset: float) -> None:
    """No first pass: tiny, huge and far-from-zero ranges all end with a small bound."""
    maps, masks = blobs(np.random.default_rng(2), images=8)
    moved = [(m * scale + offset).astype(np.float32) for m in maps]
    pixels = accumulate_pixels(moved, masks, PixelAccumulator("histogram", max_bins=2048))
    exact = pixel_metrics(moved, masks)
    for name, value in pixels.compute().items():
        assert abs(value - exact[name]) <= pixels.error_bounds()[name] <= 0.02, name


def test_more_bins_tighten_the_bound() -> None:
    maps, masks = blobs(np.random.default_rng(3), images=8)
    limits = [
        accumulate_pixels(maps, masks, PixelAccumulator("histogram", max_bins=bins)).error_bounds()
        for bins in (64, 512, 4096)
    ]
    for name in limits[0]:
        assert limits[0][name] > limits[1][name] > limits[2][name], name


def test_size_stays_bounded_and_the_way_of_adding_does_not_matter() -> None:
    values = np.random.default_rng(4).standard_normal(20_000).astype(np.float32)
    weights = np.linspace(0, 1, 20_000)
    whole, pieces = BinnedScores(max_bins=100), BinnedScores(max_bins=100)
    whole.add(values, weights)
    for start in range(0, 20_000, 77):
        pieces.add(values[start : start + 77], weights[start : start + 77])
        assert pieces._waiting_size <= 200  # the buffer is bounded as well
    for store in (whole, pieces):
        (table,) = store.tables()
        assert len(table.values) <= 100
        assert table.total == 20_000
        assert table.weights is not None
        assert table.weights.sum() == pytest.approx(weights.sum())
    np.testing.assert_array_equal(whole.tables()[0].values, pieces.tables()[0].values)
    np.testing.assert_array_equal(whole.tables()[0].counts, pieces.tables()[0].counts)


def test_default_bins_are_close_to_exact() -> None:
    maps, masks = blobs(np.random.default_rng(5), images=30, size=(256, 256), defects=4)
    pixels = accumulate_pixels(maps, masks, PixelAccumulator("histogram"))
    assert max(pixels.error_bounds().values()) < 1e-4
    assert pixels.compute() == pytest.approx(pixel_metrics(maps, masks), abs=1e-4)
