"""A residual network trained from scratch, with a stem for small or for large images."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from blemish.nn.reverse_distillation import ResidualBlock, conv_bn_relu

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
        >>> from blemish.methods.anomem.resnet import ResNet
        >>> [tuple(f.shape[1:]) for f in ResNet(width=8, blocks=1)(torch.zeros(1, 3, 32, 32))]
        [(16, 16, 16), (32, 8, 8), (64, 4, 4)]
    """

    def __init__(self, *, width: int = 64, blocks: int = 2, stem_stride: int = 1) -> None:
        super().__init__()
        if stem_stride == 4:
            self.stem = nn.Sequential(
                conv_bn_relu(3, width, kernel=7, stride=2), nn.MaxPool2d(3, 2, 1)
            )
        else:
            self.stem = conv_bn_relu(3, width, stride=stem_stride)
        self.channels = tuple(width * 2**k for k in (1, 2, 3))
        widths = (width, width, *self.channels)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    ResidualBlock(
                        before if i == 0 else after, after, stride=2 if k and i == 0 else 1
                    )
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
