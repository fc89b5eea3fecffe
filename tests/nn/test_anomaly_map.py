from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from blemish.nn.anomaly_map import (
    ChannelStandardiser,
    GaussianBlur,
    MapFusion,
    cosine_distance,
    fuse_levels,
)


def test_cosine_distance_is_one_minus_the_cosine_at_each_position() -> None:
    generator = torch.Generator().manual_seed(0)
    f, s = torch.randn(2, 2, 5, 3, 4, generator=generator)
    distance = cosine_distance(f, s)
    assert distance.shape == (2, 1, 3, 4)
    for n, y, x in np.ndindex(2, 3, 4):
        a, b = f[n, :, y, x].double(), s[n, :, y, x].double()
        expected = 1 - float(a @ b / (a.norm() * b.norm()))
        assert float(distance[n, 0, y, x]) == pytest.approx(expected, abs=1e-6)


def test_cosine_distance_of_nothing_is_finite() -> None:
    zeros = torch.zeros(1, 3, 2, 2, requires_grad=True)
    distance = cosine_distance(zeros, torch.ones(1, 3, 2, 2))
    distance.sum().backward()
    assert distance.isfinite().all()
    assert zeros.grad is not None
    assert zeros.grad.isfinite().all()


@pytest.mark.parametrize("sigma", [0.6, 1.0, 4.0])
@pytest.mark.parametrize("size", [(40, 56), (9, 3)])
def test_the_blur_is_scipys(sigma: float, size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).random((2, 1, *size))
    blurred = GaussianBlur(sigma)(torch.from_numpy(maps).float()).numpy()
    blur = GaussianBlur(sigma)
    for n in range(2):
        expected = gaussian_filter(maps[n, 0], sigma, mode="nearest", radius=blur.radius)
        assert np.abs(blurred[n, 0] - expected).max() < 1e-5


def test_the_blur_is_not_part_of_the_weights() -> None:
    assert not GaussianBlur(4.0).state_dict()
    assert not MapFusion([(4, 6)], (8, 12), 4.0).state_dict()


@pytest.mark.parametrize("sigma", [0.0, 0.6, 4.0])
@pytest.mark.parametrize("levels", [[(16, 24), (8, 12), (4, 6)], [(5, 3)], [(32, 48), (64, 96)]])
def test_maps_are_resized_summed_and_smoothed_as_one_step_after_the_other(
    sigma: float, levels: list[tuple[int, int]]
) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = [torch.rand(3, 1, *level, generator=generator) for level in levels]
    stepwise = fuse_levels(maps, (32, 48))
    if sigma:
        stepwise = GaussianBlur(sigma)(stepwise)
    fused = MapFusion(levels, (32, 48), sigma)(maps)
    assert torch.allclose(fused, stepwise, rtol=1e-5, atol=1e-6)


def test_levels_are_resized_and_summed_or_multiplied() -> None:
    coarse = torch.tensor([[[[0.0, 4.0]]]])  # (1, 1, 1, 2)
    fine = torch.full((1, 1, 2, 4), 3.0)
    row = torch.tensor([0.0, 1.0, 3.0, 4.0])
    assert torch.allclose(fuse_levels([fine, coarse], (2, 4))[0, 0], 3 + row.expand(2, 4))
    product = fuse_levels([fine, coarse], (2, 4), product=True)
    assert torch.allclose(product[0, 0], 3 * row.expand(2, 4))


def test_features_have_mean_zero_and_deviation_one_over_all_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 30.0, 0.5]).view(1, 3, 1, 1)
    batches = [
        (scale * torch.randn(count, 3, 4, 5, generator=generator) + 7,) for count in (3, 5, 1)
    ]
    standardise = ChannelStandardiser((3,))
    standardise.fit(batches)
    result = torch.cat([standardise(batch)[0] for batch in batches]).double()
    assert result.mean((0, 2, 3)).abs().max() < 1e-4
    assert (result.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-4


def test_a_channel_that_never_moves_stays_finite_and_quiet() -> None:
    level = torch.randn(4, 3, 8, 8)
    level[:, 1] = 2.0
    standardise = ChannelStandardiser((3,))
    standardise.fit([(level,)])
    (result,) = standardise((level,))
    assert result.isfinite().all()
    noisy = level.clone()
    noisy[:, 1] += 1e-4
    assert (standardise((noisy,))[0][:, 1]).abs().max() < 0.1


def test_large_offsets_do_not_cancel() -> None:
    """E[x²] − E[x]² in single precision would lose everything here."""
    level = 1000 + torch.randn(16, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    standardise = ChannelStandardiser((1,))
    standardise.fit([(level,)])
    assert abs(float(standardise((level,))[0].std()) - 1) < 0.01


def test_unfitted_it_changes_nothing_and_its_statistics_are_saved() -> None:
    standardise = ChannelStandardiser((2, 3))
    levels = (torch.randn(1, 2, 4, 4), torch.randn(1, 3, 2, 2))
    assert all(torch.equal(a, b) for a, b in zip(standardise(levels), levels, strict=True))
    standardise.fit([levels])
    other = ChannelStandardiser((2, 3))
    other.load_state_dict(standardise.state_dict())
    assert torch.equal(other(levels)[1], standardise(levels)[1])
