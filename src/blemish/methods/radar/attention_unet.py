"""The network of denoising diffusion: a U-Net with self-attention at its coarse levels.

The architecture of Ho et al. (NeurIPS 2020) in small: residual blocks with group normalisation
that the timestep shifts, skip connections, attention where there are few positions. It can work on
blocks of 2×2 pixels at a quarter of the positions (pixel unshuffle, as FFDNet does for denoising:
Zhang et al., IEEE TIP 2018), which is what makes it affordable on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.methods.radar.diffusion import timestep_embedding


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

    Example:
        >>> import torch
        >>> from blemish.methods.radar.attention_unet import AttentionUNet
        >>> unet = AttentionUNet((16, 32))
        >>> tuple(unet(torch.zeros(2, 3, 16, 24), torch.tensor([0, 7])).shape)
        (2, 3, 16, 24)
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
                self.down.append(_Block(width, wide, time, attends=attends))
                skips.append(wide)
                width = wide
            if level < len(widths) - 1:
                self.down.append(_Halve(wide))
                skips.append(wide)
        self.middle = _Block(width, width, time, attends=attention > 0)
        for level, wide in reversed(list(enumerate(widths))):
            attends = level >= len(widths) - attention
            for _ in range(blocks + 1):
                self.up.append(_Block(width + skips.pop(), wide, time, attends=attends))
                width = wide
            if level:
                self.up.append(_Double(wide))
        self.norm = nn.GroupNorm(8, width)
        self.head = nn.Conv2d(width, channels * fold**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, noisy: Tensor, t: Tensor) -> Tensor:
        time = self.time(timestep_embedding(t, self.time_size).to(noisy.dtype))  # (N, T)
        x = self.stem(F.pixel_unshuffle(noisy, self.fold))
        skips = [x]
        for module in self.down:
            x = module(x, time)
            skips.append(x)
        x = self.middle(x, time)
        for module in self.up:
            if isinstance(module, _Block):
                x = torch.cat([x, skips.pop()], 1)
            x = module(x, time)
        return F.pixel_shuffle(self.head(F.silu(self.norm(x))), self.fold)


class _Block(nn.Module):
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
