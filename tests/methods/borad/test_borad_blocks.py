"""Projections and averages of them; bank and alignments against loops, written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blemish.methods.borad.blocks import (
    GlobalAlignment,
    LevelProjections,
    Projection,
    PrototypeBank,
    SpatialAlignment,
    frozen_copy,
    move_average,
    running_statistics_kept,
)

N, C, H, W, K = 3, 8, 2, 3, 4


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


def n(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)


@pytest.fixture
def bank() -> PrototypeBank:
    torch.manual_seed(0)
    bank = PrototypeBank((H, W), prototypes=K, channels=C)
    with torch.no_grad():
        bank.P.mul_(1 + torch.rand(H * W, K, 1)).add_(0.1 * torch.randn_like(bank.P))
    return bank


@pytest.fixture
def mids() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(N, C, H, W), torch.randn(N, C, H, W)


def slow_read(bank: PrototypeBank, mid: Tensor) -> np.ndarray:
    P, out = bank.P.detach().numpy(), np.zeros((N, C, H, W))
    for image in range(N):
        for row in range(H):
            for column in range(W):
                at = P[row * W + column]  # (K, C)
                m = mid[image, :, row, column].detach().numpy()
                for i in range(K):
                    out[image, :, row, column] += (n(m) @ n(at[i])) * at[i]
    return out


def slow_block(block: nn.Module, x: np.ndarray) -> np.ndarray:
    """1×1 convolution, instance normalisation, LeakyReLU."""
    weight = block[0].weight.detach().numpy()[:, :, 0, 0]  # type: ignore[index]
    y = np.einsum("oc,nchw->nohw", weight, x)
    y = (y - y.mean((2, 3), keepdims=True)) / np.sqrt(y.var((2, 3), keepdims=True) + 1e-5)
    return np.where(y > 0, y, 0.01 * y)


def test_prototypes_are_orthonormal_at_every_location_at_the_start() -> None:
    torch.manual_seed(0)
    P = PrototypeBank((4, 5), prototypes=7, channels=16).P
    assert P.shape == (20, 7, 16)
    gram = torch.einsum("skc,slc->skl", P, P)
    assert torch.allclose(gram, torch.eye(7).expand(20, 7, 7), atol=1e-5)
    assert not torch.allclose(P[0], P[1])


def test_the_read_out_weighs_prototypes_by_cosine(
    bank: PrototypeBank, mids: tuple[Tensor, Tensor]
) -> None:
    assert np.abs(bank.read(mids[0]).detach().numpy() - slow_read(bank, mids[0])).max() < 1e-5


def test_the_spatial_loss_is_the_papers(bank: PrototypeBank, mids: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(2)
    align = SpatialAlignment(C)
    merged = [
        slow_block(align.merge, np.concatenate([mid.numpy(), slow_read(bank, mid)], axis=1))
        for mid in mids
    ]
    z = slow_block(align.predict[1], slow_block(align.predict[0], merged[0]))
    cosines = [
        n(z[image, :, row, column]) @ n(merged[1][image, :, row, column])
        for image in range(N)
        for row in range(H)
        for column in range(W)
    ]
    loss = align(*mids, bank)
    assert loss.item() == pytest.approx(2 - 2 * np.mean(cosines), abs=1e-4)


def test_the_global_loss_is_the_papers(bank: PrototypeBank, mids: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(2)
    align = GlobalAlignment(C)
    P = bank.P.detach().numpy()
    losses = []
    for i in range(K):
        p = n(sum(P[j, i] for j in range(H * W)) / (H * W))
        for image in range(N):
            g, g_target = (mid[image].mean((1, 2)).numpy() for mid in mids)
            with torch.no_grad():
                y = align.predict(torch.from_numpy(g - p).float()[None])[0].numpy()
            losses.append(2 - 2 * n(y) @ n(g_target - p))
    assert align(*mids, bank).item() == pytest.approx(np.mean(losses), abs=1e-5)


@pytest.mark.parametrize("signed", [True, False])
def test_the_global_predictor_is_two_linear_layers_with_norm_and_activation(signed: bool) -> None:
    torch.manual_seed(2)
    align = GlobalAlignment(C, signed=signed)
    first, second = (m for m in align.predict if isinstance(m, nn.Linear))
    x = torch.randn(3, C)
    rows = []
    for row in x.numpy():
        for layer in (first, second):
            row = layer.weight.detach().numpy() @ row + layer.bias.detach().numpy()
            if layer is first or not signed:
                row = (row - row.mean()) / np.sqrt(row.var() + 1e-5)
                row = np.where(row > 0, row, 0.01 * row)
        rows.append(row)
    assert np.abs(align.predict(x).detach().numpy() - np.stack(rows)).max() < 1e-5
    # The authors' instance normalisation of (rows, channels) is this one.
    published = nn.Sequential(first, nn.InstanceNorm1d(3), nn.LeakyReLU())
    half = nn.Sequential(*list(align.predict)[:3])
    assert torch.allclose(half(x), published(x), atol=1e-6)


@pytest.mark.parametrize("head", [SpatialAlignment, GlobalAlignment])
def test_no_gradient_flows_through_the_target(
    head: type[nn.Module], bank: PrototypeBank, mids: tuple[Tensor, Tensor]
) -> None:
    torch.manual_seed(2)
    align = head(C)
    online, target = (mid.clone().requires_grad_() for mid in mids)
    align(online, target, bank).backward()
    assert online.grad is not None
    assert online.grad.abs().sum() > 0
    assert target.grad is None
    assert bank.P.grad is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in align.parameters())
    # The bank's and the merge's gradient come from the online branch alone: with the target held
    # fixed as a constant, a step along them changes the loss at first order as the gradient says.
    before = bank.P.grad.clone()
    bank.zero_grad()
    align.zero_grad()
    _with_constant_target(align, mids, bank).backward()
    assert torch.allclose(before, bank.P.grad, atol=1e-6)


def _with_constant_target(
    align: nn.Module, mids: tuple[Tensor, Tensor], bank: PrototypeBank
) -> Tensor:
    online, target = mids
    if isinstance(align, SpatialAlignment):
        constant = align.merge(torch.cat([target, bank.read(target)], 1)).detach()
        z = align.predict(align.merge(torch.cat([online, bank.read(online)], 1)))
        return 2 - 2 * torch.cosine_similarity(z, constant, dim=1).mean()
    constant = (target.mean((2, 3))[:, None] - bank.shared()).detach()
    y = align.predict(online.mean((2, 3))[:, None] - bank.shared())
    return 2 - 2 * torch.cosine_similarity(y, constant, dim=2).mean()
