"""The two halves of reverse distillation: one-class bottleneck and student decoder.

Deng & Li, "Anomaly Detection via Reverse Distillation from One-Class Embedding", CVPR 2022. There
both mirror a WideResNet. Here one design serves every teacher and its width follows the teacher:
three residual stages per half, of the given widths.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn_relu(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; keeps the size at stride 1."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a shortcut (He et al., 2016).

    Shapes: ``(N, C_in, H, W)`` → ``(N, C_out, H/stride, W/stride)``.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn_relu(inputs, outputs, stride=stride),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class OneClassBottleneck(nn.Module):
    """OCBE: fuse the teacher's levels and squeeze them to half the deepest level's size.

    Args:
        channels: Channels of the teacher's levels, shallow to deep, each half the size of the
            one before.
        fused: Channels each shallower level is brought to at the deepest level's size.
        outputs: Channels of the bottleneck.
        blocks: Residual blocks of the last stage, the first of which has stride 2.

    Shapes: levels ``(N, C_l, H_l, W_l)`` → ``(N, outputs, H_3/2, W_3/2)``.
    """

    def __init__(
        self, channels: Sequence[int], *, fused: int, outputs: int, blocks: int = 1
    ) -> None:
        super().__init__()
        self.channels = outputs
        deepest = len(channels) - 1
        self.down = nn.ModuleList()
        for level, inputs in enumerate(channels[:-1]):
            steps: list[nn.Module] = []
            for remaining in range(deepest - level, 0, -1):
                # Widen gently: the large maps are where convolutions cost most.
                width = max(fused // 2 ** (remaining - 1), inputs)
                steps.append(conv_bn_relu(inputs, width, stride=2))
                inputs = width
            self.down.append(nn.Sequential(*steps))
        widths = [seq[-1][0].out_channels for seq in self.down]  # type: ignore[index]
        squeezed = [ResidualBlock(sum(widths) + channels[-1], outputs, stride=2)]
        squeezed += [ResidualBlock(outputs, outputs) for _ in range(blocks - 1)]
        self.squeeze = nn.Sequential(*squeezed)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        fused = [down(level) for down, level in zip(self.down, levels, strict=False)]
        return self.squeeze(torch.cat([*fused, levels[-1]], dim=1))  # (N, C, H_3/2, W_3/2)


class StudentDecoder(nn.Module):
    """Rebuild the teacher's levels from the bottleneck, deep to shallow.

    Args:
        inputs: Channels of the bottleneck.
        channels: Channels of the teacher's levels, shallow to deep.
        widths: Working width at each level, shallow to deep.
        blocks: Residual blocks at each level, shallow to deep.

    Shapes: ``(N, inputs, H_3/2, W_3/2)`` → the teacher's levels ``(N, C_l, H_l, W_l)``.
    """

    def __init__(
        self, inputs: int, channels: Sequence[int], *, widths: Sequence[int], blocks: Sequence[int]
    ) -> None:
        super().__init__()
        self.up, self.refine, self.out = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for outputs, width, count in reversed(list(zip(channels, widths, blocks, strict=True))):
            self.up.append(
                nn.Sequential(
                    nn.ConvTranspose2d(inputs, width, 2, 2, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                )
            )
            self.refine.append(nn.Sequential(*(ResidualBlock(width, width) for _ in range(count))))
            self.out.append(nn.Conv2d(width, outputs, 1))
            inputs = width

    def forward(self, bottleneck: Tensor) -> list[Tensor]:
        x, levels = bottleneck, []
        for up, refine, out in zip(self.up, self.refine, self.out, strict=True):
            x = refine(up(x))
            levels.append(out(x))
        return levels[::-1]
