from __future__ import annotations

import pytest
import torch
from torch import Tensor

from blemish.methods.radar.blocks import map_patches, window


def from_the_corner(patches: Tensor) -> Tensor:
    """Something that depends on the position in the patch, as a network's answer does."""
    size = patches.shape[-1]
    slope = torch.linspace(0, 1, size)
    return patches.sum(1, keepdim=True) * slope[:, None] + patches[:, :1].mean((2, 3), keepdim=True)


def slowly(pictures: Tensor, patch: int) -> Tensor:
    """The weighted mean over all patches at multiples of half a patch, one by one."""
    n, _, height, width = pictures.shape
    total, cover = torch.zeros(n, 1, height, width), torch.zeros(1, 1, height, width)
    weight = window(patch, like=pictures)
    for top in range(0, height - patch + 1, patch // 2):
        for left in range(0, width - patch + 1, patch // 2):
            here = (..., slice(top, top + patch), slice(left, left + patch))
            total[here] += weight * from_the_corner(pictures[here])
            cover[here] += weight
    return total / cover


@pytest.mark.parametrize("chunk", [0, 1, 5])
@pytest.mark.parametrize(
    ("shape", "patch"),
    [((2, 3, 32, 32), 32), ((2, 3, 48, 80), 32), ((1, 2, 64, 32), 16), ((3, 1, 96, 64), 64)],
)
def test_it_is_the_weighted_mean_of_all_patches(
    shape: tuple[int, ...], patch: int, chunk: int
) -> None:
    pictures = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    same = map_patches(pictures, lambda part: part, patch=patch, chunk=chunk)
    assert torch.allclose(same, pictures, atol=1e-6)
    found = map_patches(pictures, from_the_corner, patch=patch, chunk=chunk)
    assert torch.allclose(found, slowly(pictures, patch), atol=1e-5)


def test_no_call_gets_more_patches_than_allowed() -> None:
    seen = []
    pictures = torch.rand(2, 3, 96, 64)
    map_patches(pictures, lambda part: seen.append(len(part)) or part, patch=32, chunk=4)
    assert max(seen) == 4
    assert sum(seen) == 2 * 5 * 3


@pytest.mark.parametrize("size", [(40, 64), (64, 72), (16, 64)])
def test_a_size_that_patches_do_not_cover_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 16, at least 32"):
        map_patches(torch.zeros(1, 1, *size), lambda part: part, patch=32)
