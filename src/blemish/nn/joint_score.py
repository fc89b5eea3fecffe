"""Joint score: what a structural and a logical branch say of a picture, as one number."""

from __future__ import annotations

import torch
from torch import Tensor


def soft_maximum(branches: Tensor, weight: Tensor | float) -> Tensor:
    """``log(exp(structural) + exp(weight · logical))`` ``(N,)`` of branches ``(N, 2)``.

    One branch that objects is enough, and what the other varies by hides it less than in a sum.
    """
    one, other = branches[:, 0], weight * branches[:, 1]
    # Not logaddexp(), of which an exported graph makes exponentials that overflow above 88.
    return torch.maximum(one, other) + (-(one - other).abs()).exp().log1p()
