"""The noise schedule of denoising diffusion: forward, backward, and how time enters a network.

Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020; the deterministic backward
step is DDIM with η = 0 (Song et al., ICLR 2021). Symbols as there: ``β_t``, ``ᾱ_t = Π (1 − β_s)``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class NoiseSchedule(nn.Module):
    """Linear ``β`` from 1e-4 to 2e-2, and the steps that follow from it.

    Args:
        steps: Number of timesteps T; they count from 0 to T − 1.
        first, last: ``β`` at both ends.

    Shapes: images and noise ``(N, C, H, W)``, timesteps ``(N,)`` int64.

    Example:
        >>> import torch
        >>> from blemish.methods.radar.diffusion import NoiseSchedule
        >>> schedule = NoiseSchedule()
        >>> x, noise = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
        >>> schedule.add_noise(x, noise, torch.tensor([0])).mean().mul(100).round().item()
        1.0
    """

    alpha_bar: Tensor

    def __init__(self, steps: int = 1000, *, first: float = 1e-4, last: float = 2e-2) -> None:
        super().__init__()
        beta = torch.linspace(first, last, steps, dtype=torch.float64)
        # Not persistent: it follows from the arguments. In double precision up to here, because a
        # product of a thousand factors loses digits.
        alpha_bar = torch.cumprod(1 - beta, 0).float()  # (T,)
        self.register_buffer("alpha_bar", alpha_bar, persistent=False)

    def add_noise(self, images: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """``x_t = √ᾱ_t x + √(1 − ᾱ_t) ε``."""
        signal, spread = self._coefficients(t)
        return signal * images + spread * noise

    def predict_clean(self, noisy: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The ``x`` that ``noise`` would have turned into ``noisy`` at ``t``."""
        signal, spread = self._coefficients(t)
        return (noisy - spread * noise) / signal

    def step_back(self, noisy: Tensor, noise: Tensor, t: Tensor, earlier: Tensor) -> Tensor:
        """One deterministic DDIM step from ``t`` to ``earlier``, given the predicted noise."""
        clean = self.predict_clean(noisy, noise, t)
        return self.add_noise(clean, noise, earlier)

    def _coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha_bar = self.alpha_bar[t].view(-1, 1, 1, 1)  # (N, 1, 1, 1)
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def timestep_embedding(t: Tensor, size: int) -> Tensor:
    """Sines and cosines of the timestep at wavelengths from 2π to 20,000π.

    Shapes: ``(N,)`` → ``(N, size)``, ``size`` even.

    Example:
        >>> import torch
        >>> from blemish.methods.radar.diffusion import timestep_embedding
        >>> timestep_embedding(torch.tensor([0]), 4).tolist()
        [[0.0, 0.0, 1.0, 1.0]]
    """
    half = size // 2
    rates = torch.exp(-math.log(10_000) * torch.arange(half, device=t.device) / half)
    angles = t.float()[:, None] * rates[None]  # (N, size/2)
    return torch.cat([angles.sin(), angles.cos()], 1)
