"""Planted logical anomalies: what is where is wrong, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label

from blemish.data.planted_parts import LOGICAL_KINDS, plant_logical_anomaly
from blemish.errors import ConfigError

SQUARES = {(20, 24): (200, 60, 60), (20, 90): (60, 200, 60), (84, 40): (60, 60, 220)}


def assembly(seed: int = 0) -> NDArray[np.uint8]:
    """Three coloured squares on a grained ground."""
    rng = np.random.default_rng(seed)
    image = np.full((128, 144, 3), 90.0) + rng.normal(0, 3, (128, 144, 1))
    for (row, column), colour in SQUARES.items():
        image[row : row + 14, column : column + 14] = colour
    return image.clip(0, 255).astype(np.uint8)


def squares(image: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Strongest colour of every solid thing in the image."""
    apart = np.ptp(image.astype(int), axis=2) > 60
    labels, count = label(binary_dilation(apart, iterations=1))
    found = []
    for number in range(1, count + 1):
        own = (labels == number) & apart
        if own.sum() > 60:
            found.append(int(image[own].mean(0).argmax()))
    return sorted(found)


@pytest.mark.parametrize("kind", LOGICAL_KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_only_what_the_mask_says_changes(kind: str, seed: int) -> None:
    good = assembly(seed)
    before = good.copy()
    bad, mask = plant_logical_anomaly(good, np.random.default_rng(seed), kind=kind)
    assert np.array_equal(good, before)
    changed = (bad != good).any(-1)
    assert changed[mask].any()
    assert not changed[~binary_dilation(mask, iterations=4)].any()
    again, _ = plant_logical_anomaly(good, np.random.default_rng(seed), kind=kind)
    assert np.array_equal(bad, again)


@pytest.mark.parametrize("seed", range(6))
def test_parts_are_counted_as_the_kind_says(seed: int) -> None:
    good = assembly(seed)
    assert squares(good) == [0, 1, 2]
    counts = {
        kind: squares(plant_logical_anomaly(good, np.random.default_rng(seed), kind=kind)[0])
        for kind in LOGICAL_KINDS
    }
    assert len(counts["removed"]) == 2
    assert set(counts["removed"]) < {0, 1, 2}
    assert len(counts["doubled"]) == 4
    assert set(counts["doubled"]) == {0, 1, 2}
    assert counts["swapped"] == [0, 1, 2]


def test_a_removed_part_leaves_the_ground_and_its_grain() -> None:
    good = assembly()
    bad, mask = plant_logical_anomaly(good, np.random.default_rng(0), kind="removed")
    there = bad[mask].astype(float)
    assert np.allclose(there.mean(0), 90, atol=3)
    assert 1 < there.std() < 6


def test_swapped_parts_are_where_the_other_was() -> None:
    good = assembly()
    bad, _ = plant_logical_anomaly(good, np.random.default_rng(1), kind="swapped")
    centres = [(row + 7, column + 7) for row, column in SQUARES]
    before, after = (
        [int(image[row, column].argmax()) for row, column in centres] for image in (good, bad)
    )
    assert sorted(before) == sorted(after)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 2


def test_a_picture_without_parts_is_taken_too() -> None:
    plain = np.full((48, 64, 3), 120, np.uint8)
    for kind in LOGICAL_KINDS:
        bad, mask = plant_logical_anomaly(plain, np.random.default_rng(0), kind=kind)
        assert bad.shape == plain.shape
        assert mask.any()


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ConfigError, match="swaped"):
        plant_logical_anomaly(assembly(), np.random.default_rng(0), kind="swaped")
