"""Gaussians over groups of pictures against scikit-learn and slow loops; where one departs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from blemish.methods.logicrd.mahalanobis import (
    GroupedGaussians,
    GroupScale,
    PictureParts,
    RegionalDeparture,
)


def descriptions(n: int = 60, d: int = 12, *, shift: float = 0.0) -> torch.Tensor:
    rng = np.random.default_rng(int(10 * shift) + n)
    mixing = rng.normal(size=(d, d)) * np.linspace(0.2, 3, d)
    return torch.from_numpy(rng.normal(size=(n, d)) @ mixing + shift).float()


def reference(good: torch.Tensor, new: torch.Tensor) -> np.ndarray:
    """Squared distances by scikit-learn, at equal deviations."""
    x = good.double().numpy()
    deviation = x.std(0)
    fitted = LedoitWolf().fit(x / deviation)
    found: np.ndarray = fitted.mahalanobis(new.double().numpy() / deviation)
    return found


def two_groups() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    first, second = descriptions(40), 2.0 * descriptions(50, shift=9.0)
    return first, second, torch.eye(2).repeat_interleave(torch.tensor([40, 50]), 0)


def test_the_distance_is_scikit_learns_with_ledoit_wolf() -> None:
    good, new = descriptions(), descriptions(20, shift=1.0)
    gaussian = GroupedGaussians(1, 12)
    gaussian.fit(good[:, None], torch.ones(60, 1))
    # The floor that keeps a constant description finite is far below what rounding changes.
    expected = reference(good, new)
    found = gaussian(new[:, None], torch.ones(20, 1))
    assert found[:, 0].numpy() == pytest.approx(expected, rel=1e-3)


def test_each_part_of_each_group_has_its_own_gaussian() -> None:
    first, second, member = two_groups()
    other = torch.cat([descriptions(45, shift=2.0), descriptions(45, shift=5.0)])
    gaussians = GroupedGaussians(2, 12)
    gaussians.fit(torch.stack([torch.cat([first, second]), other], 1), member)
    new = torch.stack([second[:3], other[:3]], 1)  # (3, 2, 12)
    goods = (((first, other[:40])), ((second, other[40:])))
    for group in (0, 1):
        found = gaussians(new, torch.eye(2)[[group] * 3]).numpy()  # (3, P)
        for part in (0, 1):
            expected = reference(goods[group][part], new[:, part])
            assert found[:, part] == pytest.approx(expected, rel=1e-3)


def test_a_shared_covariance_is_that_of_the_residuals() -> None:
    first, second, member = two_groups()
    gaussians = GroupedGaussians(1, 12, own=False)
    gaussians.fit(torch.cat([first, second])[:, None], member)
    assert gaussians.factor.shape == (1, 1, 12, 12)
    residual = torch.cat([first - first.mean(0), second - second.mean(0)])
    apart = first[:1] - second.mean(0)  # the residuals' own mean is 0
    expected = reference(residual, apart)[0]
    found = gaussians(first[:1, None], torch.tensor([[0.0, 1.0]]))
    assert float(found) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("own", [True, False])
def test_the_pull_is_half_the_gradient_of_the_squared_distance(own: bool) -> None:
    first, second, member = two_groups()
    other = torch.cat([descriptions(45, shift=2.0), descriptions(45, shift=5.0)])
    gaussians = GroupedGaussians(2, 12, own=own)
    gaussians.fit(torch.stack([torch.cat([first, second]), other], 1), member)
    new = torch.stack([descriptions(4, shift=2.0), descriptions(4, shift=3.0)], 1).requires_grad_()
    group, part = torch.eye(2)[[0, 1, 0, 1]], torch.tensor([0, 0, 1, 1])
    chosen = gaussians(new, group)[torch.arange(4), part]
    (gradient,) = torch.autograd.grad(chosen.sum(), new)  # (4, P, D)
    found = gaussians.pull(gaussians.whitened(new, group), part, group)
    expected = gradient[torch.arange(4), part] / 2
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_picture_is_measured_by_those_that_were_not_left_out_with_it() -> None:
    first, second, member = two_groups()
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))  # groups in turn
    both, member = torch.cat([first, second])[order], member[order]
    found = GroupedGaussians(1, 12).left_out(both[:, None], member)[:, 0].numpy()
    for group, count in ((0, 40), (1, 50)):
        rows = torch.nonzero(member[:, group])[:, 0]
        fifth = torch.arange(count) * 5 // count
        for number in range(5):
            out, kept = rows[fifth == number], rows[fifth != number]
            assert found[out] == pytest.approx(reference(both[kept], both[out]), rel=1e-3)


def test_of_a_handful_none_is_left_out() -> None:
    few, member = descriptions(9)[:, None], torch.ones(9, 1)
    gaussian = GroupedGaussians(1, 12)
    gaussian.fit(few, member)
    assert torch.allclose(gaussian.left_out(few, member), gaussian(few, member), rtol=1e-4)


def test_fewer_pictures_than_dimensions_and_constant_ones_stay_finite() -> None:
    gaussian = GroupedGaussians(1, 50)
    gaussian.fit(descriptions(12, 50)[:, None], torch.ones(12, 1))
    assert gaussian(descriptions(5, 50, shift=3.0)[:, None], torch.ones(5, 1)).isfinite().all()
    gaussian.fit(torch.ones(12, 1, 50), torch.ones(12, 1))
    one = torch.ones(1, 1)
    assert gaussian(torch.ones(1, 1, 50), one).item() == pytest.approx(0.0, abs=1e-6)
    assert gaussian(torch.zeros(1, 1, 50), one).isfinite().all()


def test_scores_become_z_scores_of_their_group() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(40, 2, generator=generator) * torch.tensor([1.0, 30.0])
    member = torch.zeros(40, 2)
    member[:25, 0] = 1
    member[25:, 1] = 1
    scale = GroupScale(2)
    scale.fit(scores, member)
    z = scale(scores, member)
    for rows in (slice(0, 25), slice(25, 40)):
        assert z[rows].mean(0).numpy() == pytest.approx([0, 0], abs=1e-5)
        assert z[rows].std(0, unbiased=False).numpy() == pytest.approx([1, 1], abs=1e-4)


def test_a_group_with_few_held_out_pictures_takes_the_scale_of_all() -> None:
    scores = torch.arange(30.0)[:, None]
    member = torch.zeros(30, 2)
    member[:27, 0] = 1
    member[27:, 1] = 1
    scale = GroupScale(1)
    scale.fit(scores, member)
    assert scale.mean[:, 0].tolist() == pytest.approx([13.0, 14.5])


def test_the_number_of_groups_comes_from_the_file() -> None:
    gaussians = GroupedGaussians(1, 12)
    first, second, member = two_groups()
    gaussians.fit(torch.cat([first, second])[:, None], member)
    fresh = GroupedGaussians(1, 12)
    fresh.load_state_dict(gaussians.state_dict())
    new = descriptions(3, shift=4.0)[:, None]
    group = torch.tensor([[0.0, 1.0]] * 3)
    assert torch.equal(fresh(new, group), gaussians(new, group))
    with pytest.raises(RuntimeError, match="size mismatch"):
        GroupedGaussians(1, 13).load_state_dict(gaussians.state_dict())


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
