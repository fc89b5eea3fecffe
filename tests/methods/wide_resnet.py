"""A teacher of WideResNet-50-2's shape with random weights, where timm is not installed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from blemish.nn.reverse_distillation import ResidualBottleneck
from blemish.teachers.teacher import Teacher

#: Blocks and channels of the stages that give levels (Zagoruyko & Komodakis, 2016).
STAGES = ((3, 256), (4, 512), (6, 1024))


class WideResNet(nn.Module):
    """The stem and three stages: images ``(N, 3, H, W)`` → levels at strides 4, 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        inputs, stages = 64, []
        for blocks, outputs in STAGES:
            first = ResidualBottleneck(inputs, outputs, stride=1 if inputs == 64 else 2)
            others = (ResidualBottleneck(outputs, outputs) for _ in range(1, blocks))
            stages.append(nn.Sequential(first, *others))
            inputs = outputs
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        x, levels = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels


def wide_resnet_teacher() -> Teacher:
    """As ``timm/wide_resnet50_2`` with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trunk = WideResNet()
    return Teacher(
        "timm/wide_resnet50_2",
        trunk,
        channels=(256, 512, 1024),
        strides=(4, 8, 16),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        pretrained=False,
    )
