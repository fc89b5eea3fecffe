"""Instance normalisation that trains channels last: torch's values and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.nn.instance_norm import InstanceNorm2d
from blemish.nn.precision import as_convolved


def picture(dtype: torch.dtype = torch.float64) -> Tensor:
    x = torch.randn(3, 5, 6, 7, generator=torch.Generator().manual_seed(0), dtype=dtype) * 4 + 30
    return x.to(memory_format=torch.channels_last)


def test_values_and_gradients_are_torchs() -> None:
    norm = InstanceNorm2d(5).train()
    found, expected = picture().requires_grad_(), picture().requires_grad_()
    one, other = norm(found), F.instance_norm(expected)
    weights = torch.rand(one.shape, generator=torch.Generator().manual_seed(1)).to(one)
    (one * weights).sum().backward()
    (other * weights).sum().backward()
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(found.grad, expected.grad)
    for kept in (one, found.grad):
        assert kept is not None
        assert kept.is_contiguous(memory_format=torch.channels_last)


def test_prediction_is_torchs_to_the_last_bit() -> None:
    x = picture(torch.float32)
    assert torch.equal(InstanceNorm2d(5).eval()(x), F.instance_norm(x))


def test_a_single_place_is_refused_as_torch_does() -> None:
    with pytest.raises(ValueError, match="more than 1"):
        InstanceNorm2d(5).train()(torch.ones(2, 5, 1, 1))


def test_mixed_precision_casts_levels_once() -> None:
    levels = (torch.ones(1, 2), torch.zeros(1, 2))
    with torch.autocast("cpu", torch.bfloat16):
        assert {level.dtype for level in as_convolved(levels)} == {torch.bfloat16}
    assert all(a is b for a, b in zip(as_convolved(levels), levels, strict=True))
