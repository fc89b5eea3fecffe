"""Tiled pictures through the pipeline: full batches, one answer each, no seams, one region."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blemish.calibration import CalibrationRecord, calibrate
from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.tiles import Tiling
from blemish.data.sample import Sample
from blemish.inspection.network import NetworkOutput
from blemish.inspection.pipeline import judge_samples
from blemish.inspection.tiling import judge_picture
from blemish.results import UNKNOWN_PRODUCT

PREPARE = Preprocessing(32, 32, tiling=Tiling(8))
#: Any real score is above it, and every bright pixel of a map.
LIMITS = calibrate([CalibrationRecord("nut", s, 100.0) for s in range(1, 101)])


def brightness(pixels: np.ndarray) -> NetworkOutput:
    """A local one, whose answer for a tile does not depend on where it lies."""
    maps = pixels.mean(3, dtype=np.float32)
    scores = maps.max((1, 2)).astype(np.float64)
    return NetworkOutput(maps, scores, {"mean": maps.mean((1, 2)).astype(np.float64)})


def picture(pixels: np.ndarray, name: str = "#0") -> Sample:
    return Sample(Path(name), "nut", "test", None, image=pixels)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_a_local_network_says_the_same_of_tiles_and_of_the_whole() -> None:
    pixels = noise(75, 131)
    ((_, found),) = judge_samples(brightness, PREPARE, [picture(pixels)], calibration=None)
    whole = pixels.mean(2, dtype=np.float32)
    np.testing.assert_allclose(found.anomaly_map, whole, rtol=1e-5)
    assert found.score == pytest.approx(whole.max())


@pytest.mark.parametrize("size", [(100, 100), (20, 300), (32, 33), (7, 9)])
def test_a_smooth_picture_has_no_seam(size: tuple[int, int]) -> None:
    """A network that is off by a constant in every tile: steps are at most one blended ramp's."""

    def off(pixels: np.ndarray) -> NetworkOutput:
        output = brightness(pixels)
        return NetworkOutput(output.maps + pixels[:, :1, :1].mean(3), output.scores)

    across = np.linspace(0, 120, size[1], dtype=np.float32)
    pixels = np.broadcast_to(across.astype(np.uint8)[None, :, None], (*size, 3)).copy()
    ((_, found),) = judge_samples(off, PREPARE, [picture(pixels)], calibration=None)
    step = np.abs(np.diff(found.anomaly_map, axis=1)).max(initial=0)
    # A tile's offset grows by 24 columns' slope per tile, and is crossed in 8 columns or more.
    assert step <= 1 + 24 * 120 / size[1] / 8 + 1


def test_batches_are_full_whatever_the_sizes_of_the_pictures() -> None:
    sizes: list[int] = []

    def counting(pixels: np.ndarray) -> NetworkOutput:
        sizes.append(len(pixels))
        return brightness(pixels)

    pictures = [picture(noise(60, 60, n), f"#{n}") for n in range(3)]  # 3 × 9 tiles
    pictures.append(picture(noise(20, 20), "#3"))
    judged = list(judge_samples(counting, PREPARE, pictures, calibration=None, batch_size=7))
    assert [sample.path.name for sample, _ in judged] == ["#0", "#1", "#2", "#3"]
    assert sizes == [7, 7, 7, 7]


def test_the_batch_size_changes_no_answer() -> None:
    pictures = [picture(noise(40 + 20 * n, 90, n), f"#{n}") for n in range(3)]
    few, many = (
        [p for _, p in judge_samples(brightness, PREPARE, pictures, calibration=None, batch_size=n)]
        for n in (1, 64)
    )
    for one, other in zip(few, many, strict=True):
        assert one.score == other.score
        np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)


def test_a_defect_across_a_border_is_one_region() -> None:
    pixels = np.zeros((56, 80, 3), np.uint8)
    pixels[20:30, 5:75] = 255  # across all tiles of two rows
    ((_, found),) = judge_samples(brightness, PREPARE, [picture(pixels)], calibration=LIMITS)
    assert [(region.box, region.area) for region in found.regions] == [((5, 20, 75, 30), 700)]
    assert found.verdict == "defect"


def test_score_and_branches_are_those_of_the_worst_tile() -> None:
    pixels = np.full((32, 80, 3), 10, np.uint8)
    pixels[:, :32] = 60
    pixels[3, 70] = 200
    ((_, found),) = judge_samples(brightness, PREPARE, [picture(pixels)], calibration=None)
    assert found.score == 200
    assert found.branches["mean"].score == pytest.approx(60)


def test_the_product_is_the_one_that_most_tiles_show() -> None:
    def recognising(pixels: np.ndarray) -> NetworkOutput:
        output = brightness(pixels)
        names = tuple("nut" if tile.mean() < 100 else UNKNOWN_PRODUCT for tile in pixels)
        return NetworkOutput(output.maps, output.scores, products=names)

    pixels = np.zeros((32, 200, 3), np.uint8)
    pixels[:, :60] = 255
    ((_, found),) = judge_samples(recognising, PREPARE, [picture(pixels)], calibration=None)
    assert found.recognised == "nut"


@pytest.mark.parametrize(("doubtful", "rival"), [(60, None), (200, "bolt")])
def test_a_rival_needs_half_of_the_tiles(doubtful: int, rival: str | None) -> None:
    def recognising(pixels: np.ndarray) -> NetworkOutput:
        output = brightness(pixels)
        names = tuple("bolt" if tile.mean() > 100 else "" for tile in pixels)
        products = ("nut",) * len(pixels)
        return NetworkOutput(output.maps, output.scores, products=products, rivals=names)

    pixels = np.zeros((32, 200, 3), np.uint8)
    pixels[:, :doubtful] = 255
    unnamed = Sample(Path("#0"), "", "test", None, image=pixels)
    ((_, found),) = judge_samples(recognising, PREPARE, [unnamed], calibration=None)
    assert (found.recognised, found.rival) == ("nut", rival)


def test_where_to_look_first_is_said_in_the_picture_s_own_pixels() -> None:
    """Of the tile that departs most, by quarters, at half the picture's size."""

    def departing(pixels: np.ndarray) -> NetworkOutput:
        quarters = pixels.mean(3).reshape(-1, 2, 16, 2, 16).mean((2, 4)).astype(np.float32)
        output = brightness(pixels)
        scores = {"logical": quarters.max((1, 2)).astype(np.float64)}
        return NetworkOutput(output.maps, output.scores, scores, quarters)

    records = [CalibrationRecord("nut", s, 100.0, {"logical": 1.0}) for s in range(1, 101)]
    limits = calibrate(records)
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[160:192, 64:96] = 255
    half = Preprocessing(32, 32, tiling=Tiling(0, 0.5))
    ((_, found),) = judge_samples(departing, half, [picture(pixels)], calibration=limits)
    assert found.explanation is not None
    assert found.explanation.box == (64, 160, 96, 192)


def test_tiles_are_told_of_and_a_picture_that_is_one_input_is_not() -> None:
    told: list[tuple[int, int]] = []
    list(
        judge_samples(
            brightness,
            PREPARE,
            [picture(noise(32, 80)), picture(noise(32, 32))],
            calibration=None,
            on_tile=lambda done, tiles: told.append((done, tiles)),
        )
    )
    assert told == [(1, 3), (2, 3)]


def test_one_picture_by_itself_is_judged_as_in_the_pipeline() -> None:
    sample = picture(noise(100, 70))
    ((_, found),) = judge_samples(brightness, PREPARE, [sample], calibration=None)
    assert sample.image is not None
    alone = judge_picture(brightness, PREPARE, PREPARE(sample.image), batch_size=4)
    np.testing.assert_array_equal(alone.maps[0], found.anomaly_map)
    assert alone.scores[0] == found.score
