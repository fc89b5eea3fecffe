"""Where a description departs: exact shares of the distance, and the right place."""

from __future__ import annotations

import pytest
import torch

from blemish.nn.departure import RegionalDeparture
from blemish.nn.mahalanobis import GroupedGaussians


def pooled(features: torch.Tensor, parts: int) -> torch.Tensor:
    window = (features.shape[2] // parts, features.shape[3] // parts)
    return torch.nn.functional.avg_pool2d(features, window).flatten(1)


@pytest.mark.parametrize("parts", [1, 2])
def test_the_shares_of_all_places_sum_to_the_squared_distance(parts: int) -> None:
    generator = torch.Generator().manual_seed(0)
    good = torch.randn(50, 5, 8, 12, generator=generator)
    new = torch.randn(3, 5, 8, 12, generator=generator) + 0.4
    member = torch.ones(3, 1)
    gaussian = GroupedGaussians(5 * parts**2)
    gaussian.fit(pooled(good, parts), torch.ones(50, 1))
    departure = RegionalDeparture(5, (8, 12))
    departure.usual = good.mean(0, keepdim=True)
    weights = gaussian.pull(pooled(new, parts))[0].unflatten(1, (5, parts, parts))
    shares = departure.shares(new, weights, member)
    expected = gaussian(pooled(new, parts))[:, 0]
    assert torch.allclose(shares.sum((1, 2, 3)), expected, rtol=1e-3)


def test_a_missing_part_is_found_as_well_as_an_extra_one() -> None:
    # Every good picture has a blob in each of four corners; channel 1 is clutter that moves.
    generator = torch.Generator().manual_seed(0)

    def picture(corners: tuple[float, float, float, float]) -> torch.Tensor:
        features = torch.zeros(2, 16, 16)
        for value, (y, x) in zip(corners, ((3, 3), (3, 12), (12, 3), (12, 12)), strict=True):
            dy, dx = torch.randint(-1, 2, (2,), generator=generator).tolist()
            features[0, y + dy, x + dx] = value
        features[1] = torch.rand(16, 16, generator=generator)
        return features

    good = torch.stack([picture((1, 1, 1, 1)) for _ in range(60)])
    gaussian = GroupedGaussians(2)
    gaussian.fit(pooled(good, 1), torch.ones(60, 1))
    departure = RegionalDeparture(2, (16, 16))
    departure.usual = good.mean(0, keepdim=True)
    for corners, (y, x) in (((1, 0, 1, 1), (3, 12)), ((1, 1, 2, 1), (12, 3))):
        new = picture(corners)[None]
        weights = gaussian.pull(pooled(new, 1))[0].unflatten(1, (2, 1, 1))
        found = departure(new, weights, torch.ones(1, 1))[0, 0]
        row, column = divmod(int(found.argmax()), 16)
        assert abs(row - y) <= 3
        assert abs(column - x) <= 3
