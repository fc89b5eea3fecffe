"""The contrastive losses against slow loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from blemish.methods.anomem.blocks import nt_xent, variance_penalty


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("extra", [0, 3])
def test_nt_xent_is_the_formula_written_out(extra: int) -> None:
    torch.manual_seed(1)
    anchors, targets, others = unit(4, 6), unit(4, 6), unit(extra, 6)
    tau, expected = 0.2, 0.0
    for i in range(4):
        total = sum(math.exp(float(anchors[i] @ targets[j]) / tau) for j in range(4))
        total += sum(math.exp(float(anchors[i] @ anchors[j]) / tau) for j in range(4) if j != i)
        total += sum(math.exp(float(anchors[i] @ other) / tau) for other in others)
        expected -= math.log(math.exp(float(anchors[i] @ targets[i]) / tau) / total) / 4
    found = nt_xent(anchors, targets, temperature=tau, others=others if extra else None)
    assert float(found) == pytest.approx(expected, abs=1e-12)


def test_places_are_contrasted_each_with_its_own_kind() -> None:
    torch.manual_seed(2)
    anchors, targets = unit(3, 5, 6), unit(3, 5, 6)
    each = [nt_xent(a, t, temperature=0.5) for a, t in zip(anchors, targets, strict=True)]
    together = nt_xent(anchors, targets, temperature=0.5)
    assert float(together) == pytest.approx(float(torch.stack(each).mean()), abs=1e-12)


def test_a_single_pair_has_nothing_to_be_told_from() -> None:
    a = unit(1, 4)
    assert float(nt_xent(a, a, temperature=0.2)) == pytest.approx(0.0, abs=1e-12)


def test_the_variance_term_is_the_hinge_written_out() -> None:
    torch.manual_seed(3)
    readouts = 0.3 * torch.randn(9, 4, dtype=torch.float64)
    readouts[:, 0] *= 5  # beyond the hinge: costs nothing
    expected = 0.0
    for d in range(4):
        mean = sum(float(r[d]) for r in readouts) / 9
        variance = sum((float(r[d]) - mean) ** 2 for r in readouts) / 9
        expected += max(0.0, 1 - math.sqrt(variance + 1e-4) * 2) / 4
    assert float(variance_penalty(readouts)) == pytest.approx(expected, abs=1e-12)
    assert float(variance_penalty(readouts[:, :1])) == 0.0


def test_identical_read_outs_cost_most_and_can_still_part() -> None:
    alike = torch.ones(6, 16).requires_grad_()
    loss = variance_penalty(alike + 1e-3 * torch.arange(6.0)[:, None])
    loss.backward()
    assert float(loss.detach()) > 0.9
    assert alike.grad is not None
    assert alike.grad.isfinite().all()
    assert alike.grad.abs().sum() > 0
