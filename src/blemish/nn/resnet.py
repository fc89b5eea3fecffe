"""A residual network trained from scratch, with a stem for small or for large images."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

STEM_STRIDES = (1, 2, 4)


class ResNet(nn.Module):
    """ResNet (He et al., CVPR 2016) of basic blocks; gives the maps of its stages 2, 3 and 4.

    Args:
        width: Channels of stage 1; each later stage doubles them. ResNet-18 has 64.
        blocks: Blocks per stage. ResNet-18 has 2.
        stem_stride: 1 = the CIFAR stem, one 3×3 convolution; 2 = the same with stride 2;
            4 = the standard stem, a 7×7 convolution and a max-pooling.

    Shapes: ``(N, 3, H, W)`` → three maps ``(N, width·2^k, H/s, W/s)`` with s = 2, 4, 8 times the
    stem's stride.

    Example:
        >>> import torch
        >>> from blemish.nn.resnet import ResNet
        >>> [tuple(f.shape[1:]) for f in ResNet(width=8, blocks=1)(torch.zeros(1, 3, 32, 32))]
        [(16, 16, 16), (32, 8, 8), (64, 4, 4)]
    """

    def __init__(self, *, width: int = 64, blocks: int = 2, stem_stride: int = 1) -> None:
        super().__init__()
        if stem_stride == 4:
            self.stem = nn.Sequential(
                *_normed(nn.Conv2d(3, width, 7, 2, 3, bias=False)), nn.MaxPool2d(3, 2, 1)
            )
        else:
            self.stem = nn.Sequential(*_normed(nn.Conv2d(3, width, 3, stem_stride, 1, bias=False)))
        self.channels = tuple(width * 2**k for k in (1, 2, 3))
        widths = (width, width, *self.channels)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    BasicBlock(before if i == 0 else after, after, 2 if k and i == 0 else 1)
                    for i in range(blocks)
                )
            )
            for k, (before, after) in enumerate(pairwise(widths))
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.stem(images)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1:]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut: ``(N, C, H, W)`` → ``(N, C', H/stride, W/stride)``.

    Example:
        >>> import torch
        >>> from blemish.nn.resnet import BasicBlock
        >>> tuple(BasicBlock(4, 8, 2)(torch.zeros(1, 4, 6, 6)).shape)
        (1, 8, 3, 3)
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_normed(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def _normed(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    return convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
