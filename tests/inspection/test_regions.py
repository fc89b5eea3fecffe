from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from blemish.errors import DataError
from blemish.inspection.prediction import find_regions
from blemish.results import Region


def reference(mask: np.ndarray, amap: np.ndarray) -> set[Region]:
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    return {
        Region(
            box=(xs.start, ys.start, xs.stop, ys.stop),
            area=int((labels == k).sum()),
            peak=float(amap[labels == k].max()),
        )
        for k, (ys, xs) in enumerate(ndimage.find_objects(labels), start=1)
    }


def check(mask: np.ndarray, amap: np.ndarray) -> None:
    regions = find_regions(mask, amap, max_regions=10_000)
    expected = reference(mask, amap)
    assert len(regions) == ndimage.label(mask, structure=np.ones((3, 3)))[1]
    assert set(regions) == expected
    assert [r.peak for r in regions] == sorted((r.peak for r in regions), reverse=True)


@settings(max_examples=300)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)), st.data())
def test_any_mask_agrees_with_scipy(mask: np.ndarray, data: st.DataObject) -> None:
    values = st.integers(-3, 3).map(float)
    check(mask, data.draw(hnp.arrays(np.float32, mask.shape, elements=values)))


@pytest.mark.parametrize("density", [0.05, 0.2, 0.35, 0.5, 0.8])
@pytest.mark.parametrize("shape", [(80, 130), (131, 40)])
def test_noise_agrees_with_scipy(density: float, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    amap = rng.random(shape, np.float32)
    check(rng.random(shape) < density, amap)


def spiral(size: int) -> np.ndarray:
    """One wall that winds inwards: the longest way from one end of a region to the other."""
    mask = np.zeros((size, size), bool)
    top, left, bottom, right = 0, 0, size - 1, size - 1
    while top <= bottom and left <= right:
        mask[top, max(left - 2, 0) : right + 1] = True
        mask[top : bottom + 1, right] = True
        mask[bottom, left : right + 1] = True
        mask[top + 2 : bottom + 1, left] = True
        top, left, bottom, right = top + 2, left + 2, bottom - 2, right - 2
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        spiral(61),
        spiral(61).T,
        np.indices((40, 40)).sum(0) % 2 == 0,  # a chess board hangs together at the corners
        np.tile(np.array([True, False]), (30, 20)),  # upright stripes
        np.indices((50, 50))[0] % 2 + np.eye(50) > 0,  # a ladder
        np.ones((7, 9), bool),
    ],
    ids=["spiral", "spiral transposed", "chess board", "stripes", "ladder", "full"],
)
def test_hard_shapes_agree_with_scipy(mask: np.ndarray) -> None:
    check(mask, np.random.default_rng(1).random(mask.shape, np.float32))


def test_rows_do_not_wrap_round() -> None:
    mask = np.zeros((3, 5), bool)
    mask[0, 4] = mask[1, 0] = mask[2, 4] = True
    assert len(find_regions(mask, mask.astype(np.float32))) == 3


def test_empty_masks_and_views() -> None:
    assert find_regions(np.zeros((4, 5), bool), np.zeros((4, 5), np.float32)) == ()
    assert find_regions(np.zeros((0, 5), bool), np.zeros((0, 5), np.float32)) == ()
    mask = np.random.default_rng(2).random((30, 40)) < 0.3
    check(mask[::2, ::-1], np.random.default_rng(2).random((15, 40), np.float32))


def test_the_highest_peaks_are_kept_and_ties_have_a_fixed_order() -> None:
    amap = np.zeros((3, 40), np.float32)
    amap[1, ::4] = [1, 5, 2, 9, 5, 3, 4, 5, 6, 7]
    amap[2, 16] = 4  # the second of the fives has two pixels
    regions = find_regions(amap > 0, amap, max_regions=5)
    assert [(r.peak, r.box[0]) for r in regions] == [(9, 12), (7, 36), (6, 32), (5, 16), (5, 4)]
    assert find_regions(amap > 0, amap, max_regions=0) == ()


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(3, 4\).*\(4, 3\)"):
        find_regions(np.zeros((3, 4), bool), np.zeros((4, 3), np.float32))


def test_a_large_image_is_fast_and_large_noise_does_not_explode() -> None:
    ys, xs = np.ogrid[:3000, :4000]
    mask = (((ys - 700) ** 2 + (xs - 900) ** 2) < 300**2) | ((ys // 100 == 25) & (xs // 50 == 30))
    amap = mask.astype(np.float32)
    start = time.perf_counter()
    regions = find_regions(mask, amap)
    few = time.perf_counter() - start
    assert [r.area for r in regions] == [int(mask[:2000].sum()), 5000]

    noise = np.random.default_rng(0).random((3000, 4000), np.float32)
    start = time.perf_counter()
    assert len(find_regions(noise > 0.9, noise)) == 50
    many = time.perf_counter() - start
    # About 0.01 s and 0.4 s on a quiet machine; the margins are for busy ones.
    assert few < 1.0
    assert many < 15.0
