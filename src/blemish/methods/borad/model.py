"""BoRAD: one model for all products without labels, by bootstrapping the bottleneck.

"BoRAD: Bootstrap your Own Representations for Multi-class Anomaly Detection", arXiv 2606.14129
(2026).

Stated: reverse distillation with a projection per level before the bottleneck, as in RD++; a
running average of the projections (momentum 0.99 → 0.999) is the target branch; with probability
0.5 per step two views are made on the features by Bernoulli(0.5) masks, independent per view and
level, while the student always rebuilds the unmasked features; a bank of K = 7 prototypes per
location of the bottleneck, orthonormal at the start; spatial prototype alignment and
prototype-relative global alignment, weights 1; Adam 5e-3 of their own for bank and heads; gradient
clip 5 on the network; 100 epochs, batch 16. Prediction is the plain pass: teacher → projection →
bottleneck → student.
Ours: everything reverse distillation here decides (:mod:`blemish.methods.rd.model`: standardised
channels, focused loss, balanced levels, light student, decay at 80 %, steps); a projection is added
to its level instead of replacing it, times a learned factor per channel that starts at zero, for
instance normalisation takes the picture's own level out of it; where the teacher is narrow it goes
straight to a quarter of the channels and back; the bank has the bottleneck's real size; masks act
on standardised features, so that a masked position reads as an average one; batch normalisations
keep statistics of unmasked features alone, since prediction sees no others; the global predictor
ends in a plain linear layer, because its target is signed; its normalisation is a layer
normalisation; Adam's betas and the decay are the same for bank and heads as for the network; where
the bottleneck has one location, nothing is spatial and that part is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from blemish.errors import ConfigError
from blemish.methods.base import Batch, ParameterGroup, Stage
from blemish.methods.borad.projection import (
    STATED,
    LevelProjections,
    frozen_copy,
    move_average,
    running_statistics_kept,
)
from blemish.methods.borad.prototypes import GlobalAlignment, PrototypeBank, SpatialAlignment
from blemish.methods.rd.model import RD, RDConfig
from blemish.methods.settings import MethodConfig
from blemish.teachers.teacher import Teacher

#: Channels of a teacher's narrowest level from which projections are as stated.
WIDE = 128
#: Divisors of a projection's channels for narrower teachers: C → C/4 → C.
LIGHT = (4,)


@dataclass(frozen=True)
class BoRADConfig(RDConfig):
    """Settings of BoRAD, beyond those of reverse distillation.

    Example:
        >>> from blemish.methods.borad.model import BoRADConfig
        >>> BoRADConfig().prototypes
        7
    """

    spatial_weight: float = 1.0  # weight of spatial prototype alignment; 0 = off (stated: 1)
    global_weight: float = 1.0  # weight of prototype-relative global alignment; 0 = off (stated: 1)
    prototypes: int = 7  # K, prototypes per location (stated)
    view_rate: float = 0.5  # share of the steps whose two views are masked (stated)
    mask_share: float = 0.5  # share of the positions a mask hides (stated)
    momentum: tuple[float, float] = (0.99, 0.999)  # of the target, first and last step (stated)
    head_learning_rate: float = 5e-3  # Adam's step size for bank and heads (stated)
    residual: bool = True  # add the projection to the level; false: replace it (stated)
    divisors: tuple[int, ...] = (0,)  # of a projection's channels (stated: 2,4,2); 0 = by teacher

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spatial_weight < 0 or self.global_weight < 0 or self.head_learning_rate <= 0:
            raise ConfigError(
                "spatial_weight and global_weight must be ≥ 0, head_learning_rate positive."
            )
        if self.prototypes < 1:
            raise ConfigError(f"prototypes={self.prototypes}: expected at least 1.")
        if self.divisors != (0,) and (not self.divisors or min(self.divisors) < 1):
            raise ConfigError(
                f"divisors={self.divisors}: expected whole numbers from 1, such as 2,4,2: what a "
                "projection's channels are divided by after each convolution but the last. 0 "
                "follows the teacher."
            )
        if not (0 <= self.view_rate < 1 and 0 <= self.mask_share < 1):
            # Unmasked steps are where the normalisations learn what prediction will see.
            raise ConfigError(
                f"view_rate={self.view_rate}, mask_share={self.mask_share}: expected [0, 1)."
            )
        if len(self.momentum) != 2 or not all(0 <= m <= 1 for m in self.momentum):
            raise ConfigError(f"momentum={self.momentum}: expected two numbers in [0, 1].")

    @property
    def aligns(self) -> bool:
        """True when anything beyond the reconstruction is asked for."""
        return self.spatial_weight > 0 or self.global_weight > 0


class PrototypeAlignment(nn.Module):
    """The bank and the two heads: what training adds and prediction never sees.

    Args:
        size: ``(H, W)`` of the bottleneck's output.
        channels: Channels of the bottleneck's output.
        config: The system's settings.
    """

    def __init__(self, size: tuple[int, int], channels: int, config: BoRADConfig) -> None:
        super().__init__()
        self.bank = PrototypeBank(size, prototypes=config.prototypes, channels=channels)
        self.weights = {"spatial": config.spatial_weight, "global": config.global_weight}
        self.heads = nn.ModuleDict()
        # At a single location nothing is spatial, and an instance norm leaves zeros.
        if config.spatial_weight and size != (1, 1):
            self.heads["spatial"] = SpatialAlignment(channels)
        if config.global_weight:
            self.heads["global"] = GlobalAlignment(channels)

    def forward(self, mid: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Weighted losses by name, for the online and the target view's bottleneck output."""
        return {
            name: self.weights[name] * head(mid.float(), target.float(), self.bank)
            for name, head in self.heads.items()
        }


class BoRAD(RD):
    """BoRAD (2026). See the module for what is stated and what is ours.

    Raises:
        ConfigError: More prototypes than the bottleneck has channels.

    Example:
        >>> import torch
        >>> from blemish.methods.borad.model import BoRAD, BoRADConfig
        >>> from blemish.teachers.teacher import build_teacher
        >>> method = BoRAD(BoRADConfig(), build_teacher(weights="random"), (64, 96)).eval()
        >>> tuple(method(torch.zeros(2, 3, 64, 96)).anomaly_map.shape)
        (2, 1, 64, 96)
    """

    config: BoRADConfig
    config_class: ClassVar[type[MethodConfig]] = BoRADConfig
    training_only: ClassVar[tuple[str, ...]] = ("target.", "alignment.")

    def __init__(self, config: BoRADConfig, teacher: Teacher, input_size: tuple[int, int]) -> None:
        super().__init__(config, teacher, input_size)
        divisors = config.divisors
        if divisors == (0,):
            divisors = STATED if min(teacher.channels) >= WIDE else LIGHT
        self.projection = LevelProjections(
            teacher.channels, divisors=divisors, residual=config.residual
        )
        self.target: nn.Module | None = None
        self.alignment: PrototypeAlignment | None = None
        if not config.aligns:
            return
        stride = 2 * teacher.strides[-1]
        size = (-(-input_size[0] // stride), -(-input_size[1] // stride))
        channels = self.bottleneck.channels
        if config.prototypes > channels:
            raise ConfigError(
                f"prototypes={config.prototypes}: the bottleneck has {channels} channels, and no "
                "more prototypes than that can be orthonormal. Choose fewer, or a wider bottleneck."
            )
        alignment = PrototypeAlignment(size, channels, config)
        if alignment.heads:
            self.target, self.alignment = frozen_copy(self.projection), alignment

    def trained_modules(self) -> tuple[nn.Module, ...]:
        return (self.projection, *super().trained_modules())

    def stages(self) -> list[Stage]:
        (stage,) = super().stages()
        if self.alignment is None:
            return [stage]
        heads = ParameterGroup(
            (self.alignment,), self.config.head_learning_rate, betas=stage.groups[0].betas
        )
        return [
            Stage(
                stage.name,
                (*stage.groups, heads),
                stage.steps,
                stage.batch_size,
                decay_at=stage.decay_at,
            )
        ]

    def embed(self, levels: tuple[Tensor, ...]) -> Tensor:
        return self.bottleneck(self.projection(levels))

    def views(self, levels: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], ...]:
        """Two views of the levels, each level hidden by a spatial mask of its own."""
        shown = 1 - self.config.mask_share

        def mask(level: Tensor) -> Tensor:
            return torch.bernoulli(torch.full_like(level[:, :1], shown))  # (N, 1, H_l, W_l)

        return tuple(tuple(level * mask(level) for level in levels) for _ in range(2))

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        if self.target is None or self.alignment is None:
            return super().loss(batch, stage)
        levels = self.standardise(self.levels(batch))
        masked = float(torch.rand(())) < self.config.view_rate
        online, other = self.views(levels) if masked else (levels, levels)
        with running_statistics_kept(self.bottleneck, self.student) if masked else nullcontext():
            mid = self.embed(online)  # (N, C, H, W)
            distillation = self.distill(levels, self.student(mid))
        with torch.no_grad(), running_statistics_kept(self.bottleneck):
            mid_target = self.bottleneck(self.target(other))
        parts = {"distillation": distillation, **self.alignment(mid, mid_target)}
        return {"total": torch.stack(list(parts.values())).sum(), **parts}

    def after_step(self, stage: Stage, step: int) -> None:
        if self.target is not None:
            first, last = self.config.momentum
            momentum = first + (last - first) * step / max(1, stage.steps - 1)
            move_average(self.target, self.projection, momentum)
