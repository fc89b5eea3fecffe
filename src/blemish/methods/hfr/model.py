"""HFR: rebuild the encoder's feature hierarchy from its deepest level alone.

"A Hierarchically Feature Reconstructed Autoencoder for Unsupervised Anomaly Detection",
arXiv 2405.09148 (2024).

Stated: a frozen, well pre-trained ImageNet encoder gives K = 3 levels; only a decoder is trained,
to rebuild the intermediate features; no augmentation, no anomalous image; the errors of all levels
are fused into one map; one forward pass.
Ours: the decoder sees the deepest level alone, squeezed to half its size (that is what separates
HFR from reverse distillation, whose bottleneck sees all levels); loss = sum over levels of the mean
over positions of ½‖n(f) − n(s)‖², that is 1 − cosine, or plain MSE; fusion by sum or product;
Gaussian σ = 4 on inputs above 128 pixels, none below; image score = maximum of the map, on smaller
inputs its mean, because there the whole picture is the object; the teacher's channels are brought
to one scale first and the levels' maps balanced, as in reverse distillation; optimiser and schedule
are those of RD.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from blemish.methods.base import Batch, Method, MethodOutput, Stage
from blemish.methods.hfr.config import HFRConfig
from blemish.methods.rd.model import reconstruction_stage, student_plan
from blemish.methods.settings import MethodConfig
from blemish.nn.anomaly_map import (
    ChannelStandardiser,
    LevelBalance,
    MapFusion,
    cosine_distance,
    fuse_levels,
)
from blemish.nn.reverse_distillation import OneClassBottleneck, StudentDecoder
from blemish.teachers.teacher import Teacher

#: Inputs up to this many pixels a side are small images: one object fills them.
SMALL_INPUT = 128


class HFR(Method):
    """Hierarchical feature reconstruction. See the module for what is stated and what is ours.

    Example:
        >>> import torch
        >>> from blemish.methods.hfr.config import HFRConfig
        >>> from blemish.methods.hfr.model import HFR
        >>> from blemish.teachers.teacher import build_teacher
        >>> method = HFR(HFRConfig(), build_teacher(weights="random"), (64, 64)).eval()
        >>> tuple(method(torch.zeros(2, 3, 64, 64)).score.shape)
        (2,)
    """

    config: HFRConfig
    config_class: ClassVar[type[MethodConfig]] = HFRConfig

    def __init__(self, config: HFRConfig, teacher: Teacher, input_size: tuple[int, int]) -> None:
        super().__init__(config, teacher, input_size)
        teacher.check_levels("levels", config.levels)
        last, plan = slice(-config.levels, None), student_plan(config, teacher)
        self.bottleneck = OneClassBottleneck(
            teacher.channels[-1:], teacher.strides[-1:], fused=plan.fused, outputs=plan.bottleneck
        )
        self.student = StudentDecoder(
            teacher.channels[last],
            teacher.strides[last],
            self.level_sizes[-1],
            plan=plan._replace(widths=plan.widths[last], blocks=plan.blocks[last]),
        )
        self.standardise = ChannelStandardiser(teacher.channels)
        self.balance = LevelBalance(config.levels)
        self.small = max(input_size) <= SMALL_INPUT
        # A product of maps is no linear form: it is smoothed at the input's size.
        product = config.fusion == "product"
        sizes = [input_size] if product else self.level_sizes[last]
        self.fusion = MapFusion(sizes, input_size, 0.0 if self.small else config.sigma)

    def prepare(self, batches: Iterable[Batch]) -> None:
        if self.config.standardise:
            self.standardise.fit(self.levels(batch) for batch in batches)

    def stages(self) -> list[Stage]:
        return [reconstruction_stage(self.config, "rebuild", (self.bottleneck, self.student))]

    def embed(self, levels: tuple[Tensor, ...]) -> Tensor:
        """The bottleneck's output ``(N, C, ⌈H_L/2⌉, ⌈W_L/2⌉)`` for standardised levels."""
        return self.bottleneck(levels[-1:])

    def rebuild(self, levels: tuple[Tensor, ...]) -> list[tuple[Tensor, Tensor]]:
        """Pairs of teacher level and its reconstruction from the deepest level, shallow to deep."""
        levels = self.standardise(levels)
        rebuilt = self.student(self.embed(levels))
        return list(zip(levels[-self.config.levels :], rebuilt, strict=True))

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        errors = [error.mean() for error in self.errors(self.levels(batch))]
        return {"total": sum(errors[1:], start=errors[0])}

    def error(self, teacher: Tensor, rebuilt: Tensor) -> Tensor:
        """Error per position: ``(N, C, H, W)`` twice → ``(N, 1, H, W)``."""
        if self.config.loss == "mse":
            return F.mse_loss(rebuilt, teacher, reduction="none").mean(1, keepdim=True)
        return cosine_distance(teacher, rebuilt)

    def errors(self, levels: tuple[Tensor, ...]) -> list[Tensor]:
        """Error maps of each rebuilt level ``(N, 1, H_l, W_l)``, shallow to deep."""
        return [self.error(f, s) for f, s in self.rebuild(levels)]

    def fit_statistics(self, batches: Iterable[Batch]) -> None:
        if self.config.balance:
            self.balance.fit(self.errors(self.levels(batch)) for batch in batches)

    def forward(self, images: Tensor) -> MethodOutput:
        errors = self.balance(self.errors(tuple(self.teacher(images))))
        if self.config.fusion == "product":
            errors = [fuse_levels(errors, self.input_size, product=True)]
        anomaly_map = self.fusion(errors)
        flat = anomaly_map.flatten(1)  # (N, H·W)
        use_mean = self.config.score == "mean" or (self.config.score is None and self.small)
        return MethodOutput(anomaly_map, flat.mean(1) if use_mean else flat.amax(1), {})
