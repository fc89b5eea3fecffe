"""Tiles: they cover a picture and nothing else, and what is cut can be put together again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.tiles import TileGrid, Tiling, default_overlap
from blemish.errors import ConfigError

TILE = (32, 64)
sides = st.integers(1, 400)
overlaps = st.integers(0, 16)


def put_together(grid: TileGrid, maps: list[np.ndarray]) -> np.ndarray:
    whole = np.zeros(grid.size, np.float32)
    for place, amap in enumerate(maps):
        down, across = grid.weights(place)
        grid.cut(whole, place)[:] += amap * down * across
    return whole


@settings(max_examples=60, deadline=None)
@given(sides, sides, overlaps, st.integers(0, 2**31))
def test_what_is_cut_and_put_together_is_the_same(
    height: int, width: int, overlap: int, seed: int
) -> None:
    size = max(height, TILE[0]), max(width, TILE[1])
    grid = Tiling(overlap).grid(size, TILE)
    picture = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    tiles = [grid.cut(picture, place) for place in range(len(grid))]
    assert {tile.shape for tile in tiles} == {TILE}  # none reaches over the edge
    np.testing.assert_allclose(put_together(grid, tiles), picture, atol=2e-6)


@settings(max_examples=40, deadline=None)
@given(sides, sides, overlaps)
def test_a_constant_map_stays_constant(height: int, width: int, overlap: int) -> None:
    size = max(height, TILE[0]), max(width, TILE[1])
    grid = Tiling(overlap).grid(size, TILE)
    whole = put_together(grid, [np.full(TILE, 3.0, np.float32)] * len(grid))
    np.testing.assert_allclose(whole, 3.0, rtol=3e-7)


@settings(max_examples=60, deadline=None)
@given(st.integers(64, 2000), overlaps)
def test_no_more_tiles_than_needed_overlap_by_at_least_what_was_asked(
    length: int, overlap: int
) -> None:
    starts = Tiling(overlap).grid((TILE[0], length), TILE).columns
    assert starts[0] == 0
    assert starts[-1] == length - TILE[1]
    steps = np.diff(starts)
    assert (steps <= TILE[1] - overlap).all()
    assert (len(starts) - 1) * (TILE[1] - overlap) + overlap < length or len(starts) == 1


def test_tiles_that_disagree_blend_into_each_other_step_by_step() -> None:
    grid = Tiling(16).grid((32, 112), TILE)
    whole = put_together(grid, [np.zeros(TILE, np.float32), np.ones(TILE, np.float32)])
    assert (whole[:, :48] == 0).all()
    assert (whole[:, 64:] == 1).all()
    assert np.abs(np.diff(whole[0])).max() <= 1 / 16 + 1e-6


def test_a_picture_smaller_than_a_tile_lies_in_the_middle_of_one() -> None:
    prepare = Preprocessing(64, 64, tiling=Tiling(8))
    seen = prepare(np.zeros((20, 100, 3), np.uint8))
    assert seen.shape == (64, 100, 3)
    assert (seen[22:42] == 0).all()
    assert (seen[:22] == 127).all()
    assert prepare.placement((20, 100)) == (22, 0, 20, 100)
    amap = np.zeros((64, 100), np.float32)
    amap[22:42] = 1
    assert (prepare.map_to_source(amap, (20, 100)) == np.ones((20, 100))).all()


def test_a_picture_of_one_row_is_cut_all_the_same() -> None:
    prepare = Preprocessing(256, 256, tiling=Tiling(32))
    assert len(prepare.grid(prepare.seen((1, 20000)))) == 90


def test_at_half_the_size_there_is_a_quarter_of_the_tiles() -> None:
    whole = Preprocessing(64, 64, tiling=Tiling(0))
    half = Preprocessing(64, 64, tiling=Tiling(0, 0.5))
    picture = np.random.default_rng(0).integers(0, 255, (512, 256, 3)).astype(np.uint8)
    assert half(picture).shape == (256, 128, 3)
    assert len(whole.grid(whole.seen((512, 256)))) == 32
    assert len(half.grid(half.seen((512, 256)))) == 8
    assert half.map_to_source(np.zeros((256, 128), np.float32), (512, 256)).shape == (512, 256)


def test_the_model_file_holds_the_tiling_and_nothing_of_it_without() -> None:
    tiled = Preprocessing(64, 96, tiling=Tiling(8, 0.5))
    assert Preprocessing.from_json(tiled.to_json()) == tiled
    assert "tiling" not in Preprocessing(64, 96).to_json()
    for tiling in ({"overlap": 8}, {"overlap": 8.5, "scale": 1.0}, 3):
        with pytest.raises(ConfigError, match="not one this version knows"):
            Preprocessing.from_json({**tiled.to_json(), "tiling": tiling})


@pytest.mark.parametrize("overlap", [-1, 33, 64, 100])
def test_an_overlap_of_more_than_half_a_tile_is_refused(overlap: int) -> None:
    with pytest.raises(ConfigError, match="expected from 0 to half a tile's side, 32"):
        Preprocessing(64, 64, tiling=Tiling(overlap))


@pytest.mark.parametrize("scale", [0, -1, 1.5, float("nan")])
def test_a_scale_that_cannot_be_is_refused(scale: float) -> None:
    with pytest.raises(ConfigError, match="above 0 and up to 1"):
        Tiling(8, scale)


def test_an_eighth_overlaps_by_itself() -> None:
    assert default_overlap((384, 256)) == 32
