"""Reverse distillation: the trunk that other systems here share, and the baseline to beat.

Deng & Li, "Anomaly Detection via Reverse Distillation from One-Class Embedding", CVPR 2022.

Stated: frozen ImageNet teacher; one-class bottleneck over its levels; a student decoder rebuilds
the levels from the bottleneck alone; loss = sum over levels of the mean over positions of 1 −
cosine (the paper's text; its authors' code takes the cosine of the whole flattened level instead:
``flat_loss``); Adam 5e-3 with betas (0.5, 0.999), batch 16; map = per-position 1 − cosine, resized,
summed, Gaussian σ = 4; image score = maximum of the map.
Ours: the widths of bottleneck and student follow the teacher (a light one for EfficientNet-Lite,
without residual blocks in the student); in the loss a position weighs by its own distance, so that
what is still rebuilt badly, a rare product above all, trains most (``focus``; 0 is the paper's
plain mean); the teacher's channels are standardised, and each level's map is divided by its
deviation over good images before the sum; the learning rate falls to a tenth at 80 % of the steps;
training length counts steps, not epochs, because products differ widely in their number of images.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from blemish.methods.base import Batch, Method, MethodOutput, ParameterGroup, Stage, StepDecay
from blemish.methods.rd.config import RDConfig, ReconstructionConfig
from blemish.methods.settings import MethodConfig
from blemish.nn.anomaly_map import (
    ChannelStandardiser,
    LevelBalance,
    MapFusion,
    cosine_distance,
)
from blemish.nn.reverse_distillation import (
    OneClassBottleneck,
    StudentDecoder,
    StudentPlan,
    plan_student,
)
from blemish.teachers.teacher import Teacher


class RD(Method):
    """Reverse distillation (Deng & Li, 2022). See the module for what is stated and what is ours.

    Example:
        >>> import torch
        >>> from blemish.methods.rd.config import RDConfig
        >>> from blemish.methods.rd.model import RD
        >>> from blemish.teachers.teacher import build_teacher
        >>> method = RD(RDConfig(), build_teacher(weights="random"), (64, 96)).eval()
        >>> tuple(method(torch.zeros(2, 3, 64, 96)).anomaly_map.shape)
        (2, 1, 64, 96)
    """

    config: RDConfig
    config_class: ClassVar[type[MethodConfig]] = RDConfig

    def __init__(self, config: RDConfig, teacher: Teacher, input_size: tuple[int, int]) -> None:
        super().__init__(config, teacher, input_size)
        plan, levels = student_plan(config, teacher), (teacher.channels, teacher.strides)
        self.bottleneck = OneClassBottleneck(*levels, fused=plan.fused, outputs=plan.bottleneck)
        self.student = StudentDecoder(*levels, self.level_sizes[-1], plan=plan)
        self.standardise = ChannelStandardiser(teacher.channels)
        self.balance = LevelBalance(len(teacher.channels))
        self.fusion = MapFusion(self.level_sizes, input_size, config.sigma)

    def trained_modules(self) -> tuple[nn.Module, ...]:
        """The modules the reconstruction loss trains."""
        return (self.bottleneck, self.student)

    def stages(self) -> list[Stage]:
        return [reconstruction_stage(self.config, "distill", self.trained_modules())]

    def prepare(self, batches: Iterable[Batch]) -> None:
        if self.config.standardise:
            self.standardise.fit(self.levels(batch) for batch in batches)

    def embed(self, levels: tuple[Tensor, ...]) -> Tensor:
        """The bottleneck's output ``(N, C, ⌈H_L/2⌉, ⌈W_L/2⌉)`` for standardised levels."""
        return self.bottleneck(levels)

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        levels = self.standardise(self.levels(batch))
        return {"total": self.distill(levels, self.student(self.embed(levels)))}

    def distill(self, levels: tuple[Tensor, ...], rebuilt: list[Tensor]) -> Tensor:
        """The reconstruction loss between the teacher's levels and the student's."""
        config = self.config
        return distillation_loss(levels, rebuilt, flat=config.flat_loss, focus=config.focus)

    def rebuild(self, levels: tuple[Tensor, ...]) -> list[tuple[Tensor, Tensor]]:
        """Pairs of teacher level, standardised, and its reconstruction, shallow to deep."""
        levels = self.standardise(levels)
        return list(zip(levels, self.student(self.embed(levels)), strict=True))

    def errors(self, levels: tuple[Tensor, ...]) -> list[Tensor]:
        """1 − cosine per position of each level ``(N, 1, H_l, W_l)``, given the teacher's."""
        return [cosine_distance(f, s) for f, s in self.rebuild(levels)]

    def fit_statistics(self, batches: Iterable[Batch]) -> None:
        if self.config.balance:
            self.balance.fit(self.errors(self.levels(batch)) for batch in batches)

    def forward(self, images: Tensor) -> MethodOutput:
        errors = self.balance(self.errors(tuple(self.teacher(images))))
        anomaly_map = self.fusion(errors)  # (N, 1, H, W)
        return MethodOutput(anomaly_map, anomaly_map.flatten(1).amax(1), {})


def student_plan(config: ReconstructionConfig, teacher: Teacher) -> StudentPlan:
    """Widths and blocks of bottleneck and student for a teacher."""
    return plan_student(
        teacher.channels,
        teacher.strides,
        width=config.width,
        bottleneck=config.bottleneck,
        blocks=config.student_blocks,
    )


def reconstruction_stage(
    config: ReconstructionConfig, name: str, modules: tuple[nn.Module, ...]
) -> Stage:
    """The one stage that trains a reconstruction."""
    adam = {"betas": (0.5, 0.999)}
    return Stage(
        name,
        (ParameterGroup(modules, config.learning_rate, adam, config.clip_norm),),
        config.steps if config.epochs is None else None,
        config.batch_size,
        config.epochs,
        schedule=StepDecay(config.decay_at),
    )


def distillation_loss(
    levels: tuple[Tensor, ...], rebuilt: list[Tensor], *, flat: bool = False, focus: float = 0.0
) -> Tensor:
    """``Σ_l mean w d`` with ``d = 1 − cos(f_l, s_l)`` over images and positions.

    The weights ``w = d^focus / mean(d^focus)`` carry no gradient and average one: the harder a
    position is to rebuild, the more it trains. The score of a picture is the largest value of its
    map, so that what counts is not how well good pictures are rebuilt on average but where they
    are rebuilt worst. The idea is the focal loss's (Lin et al., ICCV 2017), without labels.

    Args:
        levels: The teacher's, ``(N, C_l, H_l, W_l)``.
        rebuilt: The student's, of the same shapes.
        flat: One cosine of the whole flattened level instead of one per position.
        focus: Power of the weights; 0 is the plain mean, in 0..2 times the number of levels.
    """
    if flat:
        levels = tuple(f.flatten(1) for f in levels)  # (N, C·H·W)
        rebuilt = [s.flatten(1) for s in rebuilt]
    losses = []
    for f, s in zip(levels, rebuilt, strict=True):
        d = 1.0 - F.cosine_similarity(f, s, dim=1, eps=1e-6)  # (N, H_l, W_l)
        if focus:
            # Rounding can leave a distance a hair below zero, where a power has no value.
            w = d.detach().clamp_min(1e-6).pow(focus)
            d = d * (w / w.mean())
        losses.append(d.mean())
    return sum(losses[1:], start=losses[0])
