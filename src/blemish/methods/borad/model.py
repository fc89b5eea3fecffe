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
Ours: everything reverse distillation here decides (:mod:`blemish.methods.rd.model`: focused loss,
balanced levels, light student, decay at 80 %, length); a projection is added to its level instead
of replacing it, times a learned factor per channel that starts at zero, for instance normalisation
takes the picture's own level out of it; where the teacher is narrow it goes straight to a quarter
of the channels and back; the bank has the bottleneck's real size; batch normalisations keep
statistics of unmasked features alone, since prediction sees no others; the global predictor ends
in a plain linear layer, because its target is signed; where the bottleneck has one location,
nothing is spatial and that part is left out.
The authors' instance normalisation in the global predictor is over the channels of one row: a layer
normalisation, and so written here. Ours in every preset: Adam's betas are the same for bank and
heads as for the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from blemish.errors import ConfigError
from blemish.methods.base import Batch, ParameterGroup, Stage
from blemish.methods.borad.blocks import (
    STATED,
    LevelProjections,
    PrototypeAlignment,
    frozen_copy,
    move_average,
    running_statistics_kept,
)
from blemish.methods.borad.config import BoRADConfig
from blemish.methods.rd.model import RD
from blemish.methods.settings import MethodConfig
from blemish.nn.batch_share import drawn
from blemish.nn.precision import as_convolved
from blemish.teachers.teacher import Teacher

#: Channels of a teacher's narrowest level from which projections are as stated.
WIDE = 128
#: Divisors of a projection's channels for narrower teachers: C → C/4 → C.
LIGHT = (4,)


class BoRAD(RD):
    """BoRAD (2026). See the module for what is stated and what is ours.

    Raises:
        ConfigError: More prototypes than the bottleneck has channels.

    Example:
        >>> import torch
        >>> from blemish.methods.borad.config import BoRADConfig
        >>> from blemish.methods.borad.model import BoRAD
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
        if divisors is None:
            divisors = STATED if min(teacher.channels) >= WIDE else LIGHT
        self.projection = LevelProjections(
            teacher.channels, divisors=divisors, residual=config.residual
        )
        self.target: nn.Module | None = None
        self.alignment: PrototypeAlignment | None = None
        if not (config.spatial_weight or config.global_weight):
            return
        height, width = self.level_sizes[-1]
        channels = self.bottleneck.channels
        if config.prototypes > channels:
            raise ConfigError(
                f"prototypes={config.prototypes}: the bottleneck has {channels} channels, and no "
                "more prototypes than that can be orthonormal. Choose fewer, or a wider bottleneck."
            )
        alignment = PrototypeAlignment(
            (-(-height // 2), -(-width // 2)),
            channels,
            prototypes=config.prototypes,
            spatial_weight=config.spatial_weight,
            global_weight=config.global_weight,
            signed=config.global_predictor == "signed",
        )
        if alignment.heads:
            self.target, self.alignment = frozen_copy(self.projection), alignment

    def trained_modules(self) -> tuple[nn.Module, ...]:
        return (self.projection, *super().trained_modules())

    def stages(self) -> list[Stage]:
        (stage,) = super().stages()
        if self.alignment is None:
            return [stage]
        config, (network,) = self.config, stage.groups
        heads = ParameterGroup((self.alignment,), config.head_learning_rate, network.options)
        return [replace(stage, groups=(network, heads))]

    def embed(self, levels: tuple[Tensor, ...]) -> Tensor:
        return self.bottleneck(self.projection(levels))

    def views(self, levels: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], ...]:
        """Two views of the levels, each level hidden by a spatial mask of its own."""
        shown = 1 - self.config.mask_share

        def mask(level: Tensor) -> Tensor:  # (N, 1, H_l, W_l)
            size = (1, *level.shape[2:])
            return drawn(lambda n: torch.bernoulli(level.new_full((n, *size), shown)), len(level))

        return tuple(tuple(level * mask(level) for level in levels) for _ in range(2))

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        if self.target is None or self.alignment is None:
            return super().loss(batch, stage)
        levels = self.standardise(self.levels(batch))
        masked = float(torch.rand(())) < self.config.view_rate
        seen = as_convolved(levels)
        online, other = self.views(seen) if masked else (seen, seen)
        apart = (self.bottleneck, self.student) if self.config.unmasked_statistics else ()
        with running_statistics_kept(*(apart if masked else ())):
            mid = self.embed(online)  # (N, C, H, W)
            distillation = self.distill(levels, self.student(mid))
        with torch.no_grad(), running_statistics_kept(*apart[:1]):
            mid_target = self.bottleneck(self.target(other))
        parts = {"distillation": distillation, **self.alignment(mid, mid_target)}
        return {"total": torch.stack(list(parts.values())).sum(), **parts}

    def after_step(self, stage: Stage, step: int) -> None:
        if self.target is not None:
            first, last = self.config.momentum
            momentum = first + (last - first) * step / max(1, stage.total_steps - 1)
            move_average(self.target, self.projection, momentum)
