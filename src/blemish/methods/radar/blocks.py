"""Blocks of RADAR: the denoising U-Net, the noise schedule, and patches.

The U-Net is that of Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020, in small:
residual blocks with group normalisation that the timestep shifts, skip connections, attention where
there are few positions. It can work on blocks of 2×2 pixels at a quarter of the positions (pixel
unshuffle, as FFDNet does for denoising: Zhang et al., IEEE TIP 2018), which is what makes it
affordable on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AttentionUNet(nn.Module):
    """Predicts the noise in a noisy picture.

    Args:
        widths: Channels of the levels, fine to coarse, multiples of 8.
        blocks: Residual blocks per level on the way down; one more on the way up.
        fold: Side of the blocks of pixels that the finest level sees as one position.
        attention: How many of the coarsest levels have self-attention.
        channels: Colours.

    Shapes: pictures ``(N, C, H, W)`` with H and W multiples of ``fold · 2**(levels − 1)``, and
    timesteps ``(N,)`` → noise ``(N, C, H, W)``. At the start the answer is 0 everywhere.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        blocks: int = 1,
        fold: int = 1,
        attention: int = 2,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.fold, self.time_size = fold, widths[0]
        time = 4 * widths[0]
        self.time = nn.Sequential(nn.Linear(widths[0], time), nn.SiLU(), nn.Linear(time, time))
        self.stem = nn.Conv2d(channels * fold**2, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips, width = [widths[0]], widths[0]
        for level, wide in enumerate(widths):
            attends = level >= len(widths) - attention
            for _ in range(blocks):
                self.down.append(_UNetBlock(width, wide, time, attends=attends))
                skips.append(wide)
                width = wide
            if level < len(widths) - 1:
                self.down.append(_Halve(wide))
                skips.append(wide)
        self.middle = _UNetBlock(width, width, time, attends=attention > 0)
        for level, wide in reversed(list(enumerate(widths))):
            attends = level >= len(widths) - attention
            for _ in range(blocks + 1):
                self.up.append(_UNetBlock(width + skips.pop(), wide, time, attends=attends))
                width = wide
            if level:
                self.up.append(_Double(wide))
        self.norm = nn.GroupNorm(8, width)
        self.head = nn.Conv2d(width, channels * fold**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, noisy: Tensor, t: Tensor) -> Tensor:
        time = self.time(timestep_embedding(t, self.time_size).to(noisy.dtype))  # (N, T)
        x = self.stem(fold_pixels(noisy, self.fold))
        skips = [x]
        for module in self.down:
            x = module(x, time)
            skips.append(x)
        x = self.middle(x, time)
        for module in self.up:
            if isinstance(module, _UNetBlock):
                x = torch.cat([x, skips.pop()], 1)
            x = module(x, time)
        return F.pixel_shuffle(self.head(F.silu(self.norm(x))), self.fold)


def fold_pixels(images: Tensor, side: int) -> Tensor:
    """Blocks of pixels as channels: ``torch.nn.functional.pixel_unshuffle``.

    That one comes out of torch 2.7's exporter with its channels in another order.

    Shapes: ``(N, C, H, W)`` → ``(N, C·side², H/side, W/side)``.
    """
    blocks = images.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # (N, C, h, side, w, side)
    return blocks.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)


class _UNetBlock(nn.Module):
    """Residual block; the timestep shifts and scales its second normalisation."""

    def __init__(self, inputs: int, outputs: int, time: int, *, attends: bool) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(time, 2 * outputs)
        self.norm2 = nn.GroupNorm(8, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.attention = _SelfAttention(outputs) if attends else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.time(F.silu(time))[:, :, None, None].chunk(2, 1)  # (N, C, 1, 1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.attention(self.skip(x) + h)


class _SelfAttention(nn.Module):
    """Every position looks at all others of its level."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.output = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        flat = self.query_key_value(self.norm(x)).flatten(2).transpose(1, 2)  # (N, HW, 3C)
        # One head, spelt out: without that axis the ONNX exporter does not know the operator.
        query, key, value = flat[:, None].chunk(3, 3)  # (N, 1, HW, C)
        read = F.scaled_dot_product_attention(query, key, value)[:, 0]  # (N, HW, C)
        return x + self.output(read.transpose(1, 2).reshape(n, channels, height, width))


class _Halve(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.conv(x)


class _Double(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class NoiseSchedule(nn.Module):
    """The noise schedule: linear ``β``, ``ᾱ_t = Π (1 − β_s)``, and the steps that follow from it.

    The step back is DDIM's with η = 0 (Song et al., ICLR 2021). Timesteps count from 0.

    Shapes: images and noise ``(N, C, H, W)``, timesteps ``(N,)`` int64.
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
    """
    half = size // 2
    rates = torch.exp(-math.log(10_000) * torch.arange(half, device=t.device) / half)
    angles = t.float()[:, None] * rates[None]  # (N, size/2)
    return torch.cat([angles.sin(), angles.cos()], 1)


def map_patches(
    pictures: Tensor,
    work: Callable[[Tensor], Tensor],
    *,
    patch: int,
    chunk: int | None = None,
) -> Tensor:
    """Apply ``work`` to patches that overlap by a quarter and average its answers, the centre most.

    They are four regular grids without overlap, shifted by three quarters of a patch, so that
    taking them apart and putting them together are reshapes, exact and exportable. A patch counts
    most inside, where its network sees context on all sides.

    Args:
        pictures: ``(N, C, H, W)``; H and W one patch and any number of :func:`patch_stride`.
        work: ``(M, C, patch, patch)`` → ``(M, D, patch, patch)``, each patch by itself.
        patch: Side of a patch, a multiple of 4.
        chunk: Patches per call of ``work``, which bounds the memory; ``None``: all in one call.

    Returns:
        ``(N, D, H, W)``.

    Raises:
        ValueError: A height or width that the patches do not cover.
    """
    height, width = pictures.shape[2:]
    stride = patch_stride(patch)
    if min(height, width) < patch or (height - patch) % stride or (width - patch) % stride:
        raise ValueError(
            f"pictures of {height}×{width}: expected {patch} and a multiple of {stride} more"
        )
    corners = [(top, left) for top in (0, stride) for left in (0, stride)]
    grids = [_Grid(height, width, patch, corner) for corner in corners]
    grids = [grid for grid in grids if grid.rows and grid.columns]
    weight = window(patch, like=pictures)  # (1, 1, patch, patch)
    if chunk:
        answers = [
            torch.cat([work(part) * weight for part in grid.cut(pictures).split(chunk)])
            for grid in grids
        ]
    else:
        cut = torch.cat([grid.cut(pictures) for grid in grids])
        counts = [grid.rows * grid.columns for grid in grids]
        # By image, then by grid: sizes that do not depend on the number of images.
        together = (work(cut) * weight).unflatten(0, (sum(counts), -1))
        answers = [part.flatten(0, 1) for part in together.split(counts)]
    total = pictures.new_zeros(())
    for grid, answer in zip(grids, answers, strict=True):
        total = total + grid.join(answer)
    cover = sum(grid.join(weight.repeat(grid.rows * grid.columns, 1, 1, 1)) for grid in grids)
    return total / cover


def patch_stride(patch: int) -> int:
    """Pixels from one patch to the next: three quarters of its side."""
    return patch * 3 // 4


class _Grid:
    """Patches from a corner (top, left) on, as many as fit, with gaps that other grids cover."""

    def __init__(self, height: int, width: int, patch: int, corner: tuple[int, int]) -> None:
        self.top, self.left = corner
        self.height, self.width = height, width
        self.patch, self.pitch = patch, 2 * patch_stride(patch)
        self.rows = (height - self.top - patch) // self.pitch + 1
        self.columns = (width - self.left - patch) // self.pitch + 1

    def cut(self, pictures: Tensor) -> Tensor:
        """``(N, C, H, W)`` → ``(rows · columns · N, C, patch, patch)``, all pictures' first."""
        p, pitch, rows, columns = self.patch, self.pitch, self.rows, self.columns
        inner = pictures[:, :, self.top :, self.left :]
        down, across = rows * pitch - inner.shape[2], columns * pitch - inner.shape[3]
        inner = F.pad(inner, (0, across, 0, down))  # negative: what lies behind the last is cut off
        inner = inner.reshape(-1, pictures.shape[1], rows, pitch, columns, pitch)
        inner = inner[:, :, :, :p, :, :p].permute(2, 4, 0, 1, 3, 5)
        return inner.reshape(-1, pictures.shape[1], p, p)

    def join(self, patches: Tensor) -> Tensor:
        """The inverse of :meth:`cut`, 0 where the grid has no patch."""
        p, pitch, rows, columns = self.patch, self.pitch, self.rows, self.columns
        depth, gap = patches.shape[1], self.pitch - self.patch
        inner = F.pad(patches.reshape(rows, columns, -1, depth, p, p), (0, gap, 0, gap))
        inner = inner.permute(2, 3, 0, 4, 1, 5).reshape(-1, depth, rows * pitch, columns * pitch)
        right = self.width - self.left - columns * pitch
        bottom = self.height - self.top - rows * pitch
        return F.pad(inner, (self.left, right, self.top, bottom))


def window(patch: int, *, like: Tensor) -> Tensor:
    """Weights ``(1, 1, patch, patch)``: a pyramid, 1 near the centre, small outside."""
    ramp = (torch.arange(patch, device=like.device) + 0.5) / patch
    line = 2 * torch.minimum(ramp, 1 - ramp).to(like.dtype)  # (patch,)
    return (line[:, None] * line[None, :])[None, None]
