"""Pseudo-logical anomalies, and the loss by which codes show them, against plain recomputation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blemish.methods.logicrd.pseudo_anomalies import displace_parts
from blemish.methods.logicrd.semantics import logic_loss


def slow_loss(clean: np.ndarray, changed: np.ndarray, dose: np.ndarray, group: list[int]) -> float:
    """The definition, a picture and a part at a time."""
    count, parts, width = clean.shape
    total = weights = 0.0
    for part in range(parts):
        apart = np.zeros((count, width))
        for number in range(count):
            own = [n for n in range(count) if group[n] == group[number]]
            apart[number] = clean[number, part] - clean[own, part].mean(0)
        scatter = sum(np.outer(a, a) for a in apart) / (count - len(set(group)))
        size = np.trace(scatter) / width + 1e-4
        inverse = np.linalg.inv(0.5 * scatter + 0.5 * size * np.eye(width))
        usual = dose[:, part][dose[:, part] > 0].mean() if (dose[:, part] > 0).any() else 1.0
        for number in range(count):
            weight = min(1.0, dose[number, part] / usual)
            delta = changed[number, part] - clean[number, part]
            stands_out = float(delta @ inverse @ delta) / width
            total += weight * np.log(1 + 1 / (stands_out + 1e-4))
            weights += weight
    return total / weights


def drawn(groups: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(len(groups), 3, 4, generator=generator)
    changed = clean + torch.randn(clean.shape, generator=generator) * 0.5
    dose = torch.rand(clean.shape[:2], generator=generator)
    dose[dose < 0.3] = 0
    return clean, changed, dose, torch.eye(max(groups) + 1)[groups]


@pytest.mark.parametrize("groups", [[0] * 7, [0, 1, 0, 1, 1, 0, 0], [0, 2, 0, 1, 1, 0, 3]])
def test_the_loss_is_its_definition(groups: list[int]) -> None:
    clean, changed, dose, member = drawn(groups)
    expected = slow_loss(clean.numpy(), changed.numpy(), dose.numpy(), groups)
    assert float(logic_loss(clean, changed, dose, member)) == pytest.approx(expected, rel=1e-4)


def test_it_falls_as_codes_stand_out_and_rises_with_what_varies_among_good_ones() -> None:
    clean, changed, dose, member = drawn([0] * 7)
    before = float(logic_loss(clean, changed, dose, member))
    assert float(logic_loss(clean, clean + 3 * (changed - clean), dose, member)) < before
    assert float(logic_loss(3 * clean, 2 * clean + changed, dose, member)) > before


def test_without_two_of_a_group_or_without_a_change_it_is_nothing() -> None:
    clean, changed, dose, _ = drawn([0] * 7)
    clean.requires_grad_()
    alone = logic_loss(clean, changed, dose, torch.eye(7))
    unchanged = logic_loss(clean, clean, torch.zeros_like(dose), torch.ones(7, 1))
    for loss in (alone, unchanged):
        assert loss.item() == 0
        loss.backward()
    assert float(clean.grad.abs().max()) == 0  # type: ignore[union-attr]


def test_displaced_features_are_the_pictures_own() -> None:
    torch.manual_seed(1)
    features = torch.arange(2 * 12 * 16.0).view(2, 1, 12, 16).repeat(20, 1, 1, 1)
    changed = displace_parts(features)
    assert changed.shape == features.shape
    share = (changed != features).float().mean((1, 2, 3))
    assert float(share.min()) >= 0
    assert 0.01 < float(share.mean()) < 0.3
    assert float(share.max()) < 0.6
    for before, after in zip(features, changed, strict=True):
        assert set(after.flatten().tolist()) <= set(before.flatten().tolist())
    kinds = set()
    for before, after in zip(features, changed, strict=True):
        had, has = (sorted(values.flatten().tolist()) for values in (before, after))
        kinds.add(had == has and bool((before != after).any()))
    assert kinds == {True, False}  # swapped parts keep what there is, the others do not
    torch.manual_seed(1)
    assert torch.equal(displace_parts(features), changed)


def test_a_gap_is_filled_from_beside_it_also_at_the_edge() -> None:
    torch.manual_seed(0)
    features = torch.ones(64, 3, 9, 9)
    features[:, 1] = torch.arange(9.0)  # columns
    changed = displace_parts(features)
    assert bool(changed.isfinite().all())
    assert bool((changed[:, 0] == 1).all())
    assert displace_parts(torch.ones(2, 3, 1, 1)).shape == (2, 3, 1, 1)
