"""Parts of a picture, and where one departs: exact shares of the distance, and the right place."""

from __future__ import annotations

import pytest
import torch

from blemish.methods.logicrd.departure import PictureParts, RegionalDeparture
from blemish.methods.logicrd.mahalanobis import GroupedGaussians


@pytest.mark.parametrize("size", [(8, 12), (10, 22), (2, 3)])
def test_parts_are_means_over_rectangles_that_cover_the_picture(size: tuple[int, int]) -> None:
    parts = PictureParts(size, finest=4)
    features = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    found = parts(features)
    expected = []
    for divisions in (1, 2, 4):
        rows, columns = min(divisions, size[0]), min(divisions, size[1])
        y = [round(k * size[0] / rows) for k in range(rows + 1)]
        x = [round(k * size[1] / columns) for k in range(columns + 1)]
        for i in range(rows):
            for j in range(columns):
                expected.append(features[:, :, y[i] : y[i + 1], x[j] : x[j + 1]].mean((2, 3)))
    assert parts.count == len(expected)
    assert torch.allclose(found, torch.stack(expected, 1), atol=1e-6)


@pytest.mark.parametrize("part", [0, 3])
def test_the_shares_of_all_places_sum_to_the_squared_distance(part: int) -> None:
    generator = torch.Generator().manual_seed(0)
    good = torch.randn(50, 5, 8, 12, generator=generator)
    new = torch.randn(3, 5, 8, 12, generator=generator) + 0.4
    member = torch.ones(3, 1)
    parts = PictureParts((8, 12), finest=2)
    gaussian = GroupedGaussians(5, 5)
    gaussian.fit(parts(good), torch.ones(50, 1))
    departure = RegionalDeparture(5, (8, 12))
    departure.usual = good.mean(0, keepdim=True)
    places = parts.pool[:, part].expand(3, -1)
    whitened = gaussian.whitened(parts(new), member)
    pull = gaussian.pull(whitened, torch.full((len(new),), part), member)
    shares = departure.shares(new, pull, places, member)
    expected = gaussian(parts(new), member)[:, part]
    assert torch.allclose(shares.sum((1, 2, 3)), expected, rtol=1e-3)
    if part:  # the third quarter: bottom left
        assert not shares[:, :, :4].any()
        assert not shares[..., 6:].any()


def test_a_missing_piece_is_found_as_well_as_an_extra_one() -> None:
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
    parts = PictureParts((16, 16), finest=1)
    gaussian = GroupedGaussians(1, 2)
    gaussian.fit(parts(good), torch.ones(60, 1))
    departure = RegionalDeparture(2, (16, 16))
    departure.usual = good.mean(0, keepdim=True)
    for corners, (y, x) in (((1, 0, 1, 1), (3, 12)), ((1, 1, 2, 1), (12, 3))):
        new = picture(corners)[None]
        one = torch.ones(1, 1)
        pull = gaussian.pull(gaussian.whitened(parts(new), one), torch.tensor([0]), one)
        found = departure(new, pull, parts.pool.T, one)[0, 0]
        row, column = divmod(int(found.argmax()), 16)
        assert abs(row - y) <= 3
        assert abs(column - x) <= 3
