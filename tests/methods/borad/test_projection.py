"""Projections, running averages of them, and statistics left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blemish.methods.borad.projection import (
    LevelProjections,
    Projection,
    frozen_copy,
    move_average,
    running_statistics_kept,
)


@pytest.mark.parametrize(
    ("channels", "divisors", "widths"),
    [
        (64, (2, 4, 2), [64, 32, 16, 32, 64]),  # as stated
        (64, (4,), [64, 16, 64]),
        (24, (2, 4, 2), [24, 12, 8, 12, 24]),  # not below eight …
        (6, (4,), [6, 6, 6]),  # … nor above what there is
    ],
)
def test_the_detour_narrows_and_comes_back(
    channels: int, divisors: tuple[int, ...], widths: list[int]
) -> None:
    detour = Projection(channels, divisors=divisors)
    convolutions = [m for m in detour.modules() if isinstance(m, nn.Conv2d)]
    assert [convolutions[0].in_channels, *(c.out_channels for c in convolutions)] == widths
    assert all(c.kernel_size == (3, 3) for c in convolutions)


def test_a_residual_projection_adds_the_detour() -> None:
    torch.manual_seed(0)
    level = torch.randn(2, 8, 4, 4)
    projection = Projection(8, residual=True)
    assert torch.equal(projection(level), level)  # at first nothing is changed
    assert projection.scale is not None
    with torch.no_grad():
        projection.scale.copy_(torch.linspace(-1, 1, 8).view(1, 8, 1, 1))
    expected = level + projection.scale * projection.detour(level)
    assert torch.equal(projection(level), expected)
    assert not torch.equal(projection(level), level)


def test_every_level_has_a_projection_of_its_own() -> None:
    torch.manual_seed(0)
    project = LevelProjections((8, 8), residual=False)
    level = torch.randn(1, 8, 4, 4)
    first, second = project((level, level))
    assert not torch.equal(first, second)


def test_the_average_moves_towards_what_it_averages_and_is_never_trained() -> None:
    torch.manual_seed(0)
    online = LevelProjections((8, 16))
    average = frozen_copy(online)
    assert not any(p.requires_grad for p in average.parameters())
    assert all(p.requires_grad for p in online.parameters())
    before = [p.clone() for p in average.parameters()]
    with torch.no_grad():
        for p in online.parameters():
            p.add_(torch.randn_like(p))
    move_average(average, online, 0.9)
    for old, new, moved in zip(before, online.parameters(), average.parameters(), strict=True):
        assert torch.allclose(moved, 0.9 * old + 0.1 * new, atol=1e-6)


def test_kept_statistics_still_normalise_by_the_batch() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    shifted = torch.randn(4, 3, 5, 5) + 7
    with running_statistics_kept(nn.Sequential(norm)):
        assert norm(shifted).mean().abs() < 1e-5
    assert torch.equal(norm.running_mean, torch.zeros(3))
    norm(shifted)
    assert norm.running_mean.min() > 0.5
