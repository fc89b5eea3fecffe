"""Cosine to a constant: value and gradient as of torch's own, edges included."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from blemish.nn.cosine import cosine_to


@pytest.mark.parametrize("dim", [1, 2])
def test_value_and_gradient_are_those_of_the_single_operations(dim: int) -> None:
    generator = torch.Generator().manual_seed(0)
    f, s = (torch.randn(2, 5, 4, 3, generator=generator).double() for _ in range(2))
    found, expected = (s.clone().requires_grad_() for _ in range(2))
    weights = torch.rand(f.select(dim, 0).shape, generator=generator).double()
    one = cosine_to(f, found, dim=dim)
    other = F.cosine_similarity(f, expected, dim=dim, eps=1e-6)
    (one * weights).sum().backward()
    (other * weights).sum().backward()
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(found.grad, expected.grad)


def test_gradient_is_right_on_both_sides_of_the_shortest_length() -> None:
    f = torch.tensor([[1.0, 2.0]]).double()
    for length in (0.01, 10.0):  # eps is between them
        s = torch.tensor([[length, -3 * length]]).double().requires_grad_()
        assert torch.autograd.gradcheck(lambda x: cosine_to(f, x, eps=1.0), (s,))


def test_mixed_precision_is_summed_in_float32() -> None:
    f = torch.randn(3, 512, 2, generator=torch.Generator().manual_seed(1))
    s = f.bfloat16().requires_grad_()
    found = cosine_to(f, s)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.ones(3, 2), atol=1e-4, rtol=0)
    found.sum().backward()
    assert s.grad is not None
    assert s.grad.dtype == torch.bfloat16
