"""One-class bottleneck and student decoder: the two halves of reverse distillation.

Deng & Li, "Anomaly Detection via Reverse Distillation from One-Class Embedding", CVPR 2022. There
both mirror a WideResNet (``mirror``). The ``light`` ones are ours. Either serves every teacher,
convolutional or transformer: it follows the number, strides and channels of the teacher's levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.errors import ConfigError
from blemish.nn.batch_share import BatchNorm2d

# The light student's width at strides 2, 4, 8, 16, 32.
_LIGHT_WIDTHS = (16, 32, 64, 112, 192)
# Residual blocks of the authors' decoder, deep to shallow, and of the bottleneck's stage.
_MIRRORED_BLOCKS, _SQUEEZING_BLOCKS = (3, 4, 6), 3


class StudentPlan(NamedTuple):
    """What bottleneck and student are built by."""

    widths: tuple[int, ...]  # working width of the student at each level, shallow to deep
    blocks: tuple[int, ...]  # its residual blocks at each level
    fused: int  # channels the bottleneck brings each shallower level to
    bottleneck: int  # channels of the bottleneck
    mirror: bool = False  # the authors' residual stages instead of the light ones
    quarters: int = 2  # inner width of the mirror's bottleneck stage, in quarters of its channels

    def of_levels(self, levels: slice) -> StudentPlan:
        """The plan of a student that rebuilds these of the levels."""
        return self._replace(widths=self.widths[levels], blocks=self.blocks[levels])


def plan_student(
    channels: Sequence[int],
    strides: Sequence[int],
    *,
    student: Literal["light", "mirror"] = "light",
    width: float | None = None,
    bottleneck: int | None = None,
    blocks: Sequence[int] | None = None,
    quarters: int = 2,
) -> StudentPlan:
    """The student that suits a teacher whose levels, shallow to deep, are of these forms.

    The light student (width 1) suits EfficientNet-Lite; for wider teachers the width grows with
    the teacher's channels, and the bottleneck faster, so that WideResNet-50-2 gets one of the
    order of the paper's 2,048 channels, unless ``width`` and ``bottleneck`` say otherwise.

    The mirror has the teacher's own channels. For WideResNet-50-2 it is the authors' decoder
    (``de_wide_resnet50_2``: 3, 4 and 6 residual blocks, deep to shallow) and bottleneck (2,048
    channels, 1,024 inside its blocks; ``quarters=1``: 512, as the framework ADer has it).

    Raises:
        ConfigError: ``blocks`` is neither one number nor one for each level, or leaves a mirror
            without any.
    """
    mirror = student == "mirror"
    if blocks is None:
        count = len(channels)
        deep_first = [*_MIRRORED_BLOCKS, *_MIRRORED_BLOCKS[-1:] * count] if mirror else [0] * count
        blocks = deep_first[count - 1 :: -1]

    def eights(value: float) -> int:
        return max(8, round(value / 8) * 8)

    def light(stride: int) -> int:
        place = round(math.log2(stride)) - 1
        return _LIGHT_WIDTHS[min(max(place, 0), len(_LIGHT_WIDTHS) - 1)]

    if len(blocks) == 1:
        blocks = tuple(blocks) * len(channels)
    if len(blocks) != len(channels):
        raise ConfigError(
            f"student_blocks={','.join(map(str, blocks))}: the teacher has {len(channels)} levels. "
            "Give one number for each, shallow to deep, or a single one for all."
        )
    if mirror and not all(blocks):
        raise ConfigError(
            f"student_blocks={','.join(map(str, blocks))}: a mirror grows from level to level by "
            "residual blocks. Give every level one at least, or student=light."
        )
    if mirror:
        outputs = bottleneck or 2 * channels[-1]
        return StudentPlan(
            tuple(channels), tuple(blocks), channels[-1], outputs, mirror=True, quarters=quarters
        )
    factor = width or max(1.0, (sum(channels) / 176) ** 0.75)
    widths = tuple(eights(light(stride) * factor) for stride in strides)
    outputs = bottleneck or eights(192 * factor**1.36)
    return StudentPlan(widths, tuple(blocks), eights(64 * factor), outputs)


def conv_bn_relu(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; keeps the size at stride 1."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a shortcut (He et al., 2016).

    Shapes: ``(N, C_in, H, W)`` → ``(N, C_out, ⌈H/stride⌉, ⌈W/stride⌉)``.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn_relu(inputs, outputs, stride=stride),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class ResidualBottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions with a shortcut, fewer channels in the middle.

    Two ``quarters`` of them are WideResNet-50-2's block (Zagoruyko & Komodakis, 2016), one is
    ResNet-50's. ``stride`` makes the map smaller; ``enlarge`` larger, by transposed convolutions in
    the middle and in the shortcut, as the authors of reverse distillation turn the block around.

    Shapes: ``(N, C_in, H, W)`` → ``(N, C_out, ⌈H/stride⌉, ⌈W/stride⌉)``, or ``enlarge`` times
    ``H`` and ``W``.
    """

    def __init__(
        self, inputs: int, outputs: int, *, stride: int = 1, enlarge: int = 1, quarters: int = 2
    ) -> None:
        super().__init__()
        inner = max(1, outputs * quarters // 4)
        middle = conv_bn_relu(inner, inner, stride=stride)
        across: nn.Module = nn.Identity()
        if enlarge > 1:
            middle = _enlarge(inner, inner, enlarge)
            across = nn.ConvTranspose2d(inputs, outputs, enlarge, enlarge, bias=False)
        elif stride > 1 or inputs != outputs:
            across = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.body = nn.Sequential(
            conv_bn_relu(inputs, inner, kernel=1),
            middle,
            nn.Conv2d(inner, outputs, 1, bias=False),
            BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = across
        if not isinstance(across, nn.Identity):
            self.shortcut = nn.Sequential(across, BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class OneClassBottleneck(nn.Module):
    """OCBE: bring the teacher's levels to the deepest one's size, fuse and squeeze them to half.

    A level of the deepest one's stride is taken as it is, a shallower one brought to
    ``plan.fused`` channels.

    Shapes: levels ``(N, C_l, H_l, W_l)`` → ``(N, plan.bottleneck, ⌈H_L/2⌉, ⌈W_L/2⌉)``.
    """

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], *, plan: StudentPlan
    ) -> None:
        super().__init__()
        self.channels = outputs = plan.bottleneck
        self.down = nn.ModuleList()
        total = channels[-1]
        for inputs, stride in zip(channels[:-1], strides[:-1], strict=True):
            factors = _factors(strides[-1] // stride)
            steps: list[nn.Module] = []
            for remaining, factor in zip(range(len(factors), 0, -1), factors, strict=True):
                # Widen gently: the large maps are where convolutions cost most.
                width = max(plan.fused // 2 ** (remaining - 1), inputs)
                steps.append(conv_bn_relu(inputs, width, kernel=max(3, factor), stride=factor))
                inputs = width
            self.down.append(nn.Sequential(*steps))
            total += inputs
        if not plan.mirror:
            self.squeeze = nn.Sequential(ResidualBlock(total, outputs, stride=2))
            return
        block = partial(ResidualBottleneck, quarters=plan.quarters)
        others = (block(outputs, outputs) for _ in range(1, _SQUEEZING_BLOCKS))
        self.squeeze = nn.Sequential(block(total, outputs, stride=2), *others)
        _initialise(self)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        fused = [down(level) for down, level in zip(self.down, levels, strict=False)]
        return self.squeeze(torch.cat([*fused, levels[-1]], dim=1))  # (N, C, ⌈H_L/2⌉, ⌈W_L/2⌉)


class StudentDecoder(nn.Module):
    """Rebuild the teacher's levels from the bottleneck, deep to shallow.

    ``size`` is ``(H_L, W_L)`` of the deepest level.

    Shapes: ``(N, C, ⌈H_L/2⌉, ⌈W_L/2⌉)`` → the teacher's levels ``(N, C_l, H_l, W_l)``.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        size: tuple[int, int],
        *,
        plan: StudentPlan,
    ) -> None:
        super().__init__()
        self.up, self.refine, self.out = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        inputs, deeper = plan.bottleneck, 2 * strides[-1]
        for level in reversed(range(len(channels))):
            width, ratio, count = plan.widths[level], deeper // strides[level], plan.blocks[level]
            if plan.mirror:
                # The first block of a stage grows, and what the last one gives is the level.
                up = nn.Sequential(ResidualBottleneck(inputs, width, enlarge=ratio))
                blocks = nn.Sequential(*(ResidualBottleneck(width, width) for _ in range(1, count)))
                out: nn.Module = nn.Identity()
            else:
                up = _enlarge(inputs, width, ratio)
                blocks = nn.Sequential(*(ResidualBlock(width, width) for _ in range(count)))
                out = nn.Conv2d(width, channels[level], 1)
            self.up.append(up)
            self.refine.append(blocks)
            self.out.append(out)
            inputs, deeper = width, strides[level]
        if plan.mirror:
            _initialise(self)
        if size[0] % 2 or size[1] % 2:
            # Half of an odd side was rounded up.
            self.up[0].append(_Crop(size))  # type: ignore[operator]

    def forward(self, bottleneck: Tensor) -> list[Tensor]:
        x, levels = bottleneck, []
        for up, refine, out in zip(self.up, self.refine, self.out, strict=True):
            x = refine(up(x))
            levels.append(out(x))
        return levels[::-1]


def _enlarge(inputs: int, outputs: int, ratio: int) -> nn.Sequential:
    """Transposed convolution, batch normalisation, ReLU; a plain convolution at ratio 1."""
    if ratio == 1:
        return conv_bn_relu(inputs, outputs)
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, ratio, ratio, bias=False),
        BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _initialise(mirror: nn.Module) -> None:
    """As the authors begin: normal weights by the outputs (He et al., 2015) in convolutions."""
    for module in mirror.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class _Crop(nn.Module):
    """The upper left part of a map."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.size[0], : self.size[1]]


def _factors(ratio: int) -> list[int]:
    """Prime factors, smallest first: 12 → [2, 2, 3]."""
    for factor in range(2, ratio + 1):
        if ratio % factor == 0:
            return [factor, *_factors(ratio // factor)]
    return []
