"""A bank of prototypes read as a modern Hopfield layer.

Ramsauer et al., "Hopfield Networks is All You Need", ICLR 2021: one step of the retrieval dynamics
``z ↦ softmax(β z Xᵀ) X``. A stored pattern that is far enough from the others is (nearly) a fixed
point of it; anything else is drawn towards the patterns it resembles.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PrototypeMemory(nn.Module):
    """Learnable prototypes ``X (K, d)``, of unit length when read.

    Args:
        prototypes: Their number K.
        channels: Their dimension d.
        beta: Inverse temperature β of the read-out; higher reads fewer prototypes at a time.

    Shapes: ``z (…, d)`` of unit length → ``(…, d)``.

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.hopfield import PrototypeMemory
        >>> memory = PrototypeMemory(5, 16, beta=100.0)
        >>> stored = memory.patterns()
        >>> bool(torch.allclose(memory(stored), stored, atol=1e-3))
        True
    """

    def __init__(self, prototypes: int, channels: int, *, beta: float) -> None:
        super().__init__()
        self.beta = beta
        self.prototypes = nn.Parameter(F.normalize(torch.randn(prototypes, channels), dim=1))

    def patterns(self) -> Tensor:
        """The prototypes at unit length ``(K, d)``."""
        return F.normalize(self.prototypes, dim=1)

    def weights(self, z: Tensor) -> Tensor:
        """How much each prototype counts in the read-out: ``(…, d)`` → ``(…, K)``, sum 1."""
        return torch.softmax(self.beta * (z @ self.patterns().T), dim=-1)

    def forward(self, z: Tensor) -> Tensor:
        return self.weights(z) @ self.patterns()


def used_prototypes(weights: Tensor) -> Tensor:
    """Which prototypes count most in at least one read: weights ``(…, K)`` → ``(K,)`` bool.

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.hopfield import used_prototypes
        >>> used_prototypes(torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.1, 0.7]])).tolist()
        [True, False, True]
    """
    used = torch.zeros(weights.shape[-1], dtype=torch.bool, device=weights.device)
    used[weights.flatten(0, -2).argmax(1)] = True
    return used
