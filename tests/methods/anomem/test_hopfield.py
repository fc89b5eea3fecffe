"""The memory's read-out against a slow loop, and what makes it a memory."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from blemish.methods.anomem.blocks import PrototypeMemory, used_prototypes


def memory(count: int = 5, channels: int = 8, beta: float = 8.0) -> PrototypeMemory:
    torch.manual_seed(0)
    found = PrototypeMemory(count, channels, beta=beta)
    with torch.no_grad():
        found.prototypes.mul_(torch.rand(count, 1) + 0.5)  # training changes the lengths
    return found


def test_the_read_out_is_the_softmax_over_all_prototypes() -> None:
    bank = memory()
    z = F.normalize(torch.randn(2, 3, 8), dim=-1)
    read = bank(z)
    for i in range(2):
        for j in range(3):
            patterns = [p / p.norm() for p in bank.prototypes.detach()]
            strengths = [math.exp(8.0 * float(z[i, j] @ p)) for p in patterns]
            expected = torch.zeros(8)
            for strength, pattern in zip(strengths, patterns, strict=True):
                expected += strength / sum(strengths) * pattern
            assert torch.allclose(read[i, j], expected, atol=1e-6)


def test_stored_patterns_are_fixed_points_and_others_are_drawn_to_them() -> None:
    bank = memory(count=6, channels=32, beta=60.0)
    stored = bank.patterns()
    assert torch.allclose(bank(stored), stored, atol=1e-3)
    disturbed = F.normalize(stored + 0.1 * torch.randn_like(stored), dim=1)
    once = bank(disturbed)
    assert ((once - stored).norm(dim=1) < 0.1 * (disturbed - stored).norm(dim=1)).all()


def test_a_read_out_never_leaves_the_hull_of_the_prototypes() -> None:
    bank = memory()
    weights = bank.weights(F.normalize(torch.randn(7, 8), dim=1))
    assert torch.allclose(weights.sum(1), torch.ones(7))
    assert (weights > 0).all()


def test_prototypes_in_use_are_those_that_win_a_read() -> None:
    bank = memory(count=4, channels=16)
    weights = bank.weights(bank.patterns()[[1, 1, 3]][None])  # (1, 3, K)
    assert used_prototypes(weights).tolist() == [False, True, False, True]
