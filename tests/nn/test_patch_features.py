"""Patch features against slow loops over positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from blemish.nn.patch_features import PatchFeatures

SIZES = [(8, 12), (4, 6), (2, 3)]


def levels(generator: torch.Generator) -> list[torch.Tensor]:
    return [torch.randn(2, 3 + n, *size, generator=generator) for n, size in enumerate(SIZES)]


def mean_around(level: np.ndarray, y: range, x: range) -> np.ndarray:
    """The mean ``(C,)`` of what lies inside the level."""
    rows = [v for v in y if 0 <= v < level.shape[1]]
    columns = [v for v in x if 0 <= v < level.shape[2]]
    return np.mean([level[:, a, b] for a in rows for b in columns], axis=0)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_every_patch_is_the_mean_of_its_own_and_neighbouring_positions(k: int) -> None:
    given = levels(torch.Generator().manual_seed(0))
    joined = PatchFeatures(SIZES, grid=1, neighbourhood=k)(given)
    assert joined.shape == (2, 3 + 4 + 5, 4, 6)
    r = k // 2
    smoothed = np.empty((5, 2, 3))
    for y, x in np.ndindex(2, 3):
        around = range(y - r, y + r + 1), range(x - r, x + r + 1)
        smoothed[:, y, x] = mean_around(given[2][1].numpy(), *around)
    resized = F.interpolate(torch.from_numpy(smoothed)[None], size=(4, 6), mode="bilinear")[0]
    for y, x in np.ndindex(4, 6):
        fine = range(2 * y - r, 2 * y + r + 2), range(2 * x - r, 2 * x + r + 2)
        same = range(y - r, y + r + 1), range(x - r, x + r + 1)
        expected = [
            mean_around(given[0][1].numpy(), *fine),
            mean_around(given[1][1].numpy(), *same),
            resized[:, y, x].numpy(),
        ]
        assert joined[1, :, y, x].numpy() == pytest.approx(np.concatenate(expected), abs=1e-5)


@pytest.mark.parametrize("grid", [0, 1, 2])
def test_any_level_can_give_the_grid(grid: int) -> None:
    join = PatchFeatures(SIZES, grid=grid)
    assert join(levels(torch.Generator().manual_seed(1))).shape == (2, 12, *SIZES[grid])


def test_levels_of_one_size_are_joined_as_they_lie() -> None:
    level = torch.randn(1, 4, 3, 5, generator=torch.Generator().manual_seed(2))
    joined = PatchFeatures([(3, 5)] * 2, grid=0, neighbourhood=1)([level, level])
    assert torch.equal(joined, torch.cat([level, level], 1))
