"""Reconstruction of a frozen teacher's levels: what reverse distillation and HFR both do.

A bottleneck squeezes some of the levels, a student rebuilds some from it alone, one stage trains
both, and where teacher and student disagree something is odd.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from torch import Tensor, nn

from blemish.methods.base import Batch, Method, MethodOutput, ParameterGroup, Stage, StepDecay
from blemish.methods.rd.config import EPOCHS, STEPS_WITHIN, ReconstructionConfig
from blemish.nn.anomaly_map import ChannelStandardiser, LevelBalance, MapFusion, cosine_distance
from blemish.nn.reverse_distillation import (
    OneClassBottleneck,
    StudentDecoder,
    StudentPlan,
    plan_student,
)
from blemish.teachers.teacher import Teacher


class Reconstruction(Method):
    """Base of the systems that rebuild a teacher's levels from a bottleneck.

    A system adds its loss, and what else it has of its own.

    Args:
        config, teacher, input_size: As of :class:`~blemish.methods.base.Method`.
        sees: How many of the teacher's levels the bottleneck sees, counted from the deepest; 0:
            all.
        rebuilds: How many of them the student rebuilds, likewise.
    """

    config: ReconstructionConfig
    shares_batches: ClassVar[bool] = True
    #: Name of the one stage.
    stage_name: ClassVar[str] = "distill"

    def __init__(
        self,
        config: ReconstructionConfig,
        teacher: Teacher,
        input_size: tuple[int, int],
        *,
        sees: int = 0,
        rebuilds: int = 0,
    ) -> None:
        super().__init__(config, teacher, input_size)
        self.seen, self.rebuilt = slice(-sees, None), slice(-rebuilds, None)  # -0 is all of them
        channels, strides, plan = teacher.channels, teacher.strides, student_plan(config, teacher)
        self.bottleneck = OneClassBottleneck(channels[self.seen], strides[self.seen], plan=plan)
        self.student = StudentDecoder(
            channels[self.rebuilt],
            strides[self.rebuilt],
            self.level_sizes[-1],
            plan=plan.of_levels(self.rebuilt),
        )
        self.standardise = ChannelStandardiser(channels)
        self.balance = LevelBalance(len(channels[self.rebuilt]))
        self.fusion = MapFusion(self.level_sizes[self.rebuilt], input_size, config.sigma)

    def trained_modules(self) -> tuple[nn.Module, ...]:
        """The modules the reconstruction loss trains."""
        return (self.bottleneck, self.student)

    def stages(self) -> list[Stage]:
        config, adam = self.config, {"betas": (0.5, 0.999)}
        group = ParameterGroup(self.trained_modules(), config.learning_rate, adam, config.clip_norm)
        steps, epochs = config.steps if config.epochs is None else None, config.epochs
        by_images = steps is None and epochs is None
        return [
            Stage(
                self.stage_name,
                (group,),
                steps,
                config.batch_size,
                EPOCHS if by_images else epochs,
                steps_within=STEPS_WITHIN if by_images else None,
                schedule=StepDecay(config.decay_at),
            )
        ]

    def prepare(self, batches: Iterable[Batch]) -> None:
        if self.config.standardise:
            self.standardise.fit(self.levels(batch) for batch in batches)

    def embed(self, levels: tuple[Tensor, ...]) -> Tensor:
        """The bottleneck's output ``(N, C, ⌈H_L/2⌉, ⌈W_L/2⌉)`` for standardised levels."""
        return self.bottleneck(levels[self.seen])

    def rebuild(self, levels: tuple[Tensor, ...]) -> list[tuple[Tensor, Tensor]]:
        """Pairs of teacher level, standardised, and its reconstruction, shallow to deep."""
        levels = self.standardise(levels)
        return list(zip(levels[self.rebuilt], self.student(self.embed(levels)), strict=True))

    def error(self, teacher: Tensor, rebuilt: Tensor) -> Tensor:
        """Error per position: ``(N, C, H, W)`` twice → ``(N, 1, H, W)``."""
        return cosine_distance(teacher, rebuilt)

    def errors(self, levels: tuple[Tensor, ...]) -> list[Tensor]:
        """Errors of the rebuilt levels ``(N, 1, H_l, W_l)``, shallow to deep."""
        return [self.error(f, s) for f, s in self.rebuild(levels)]

    def fit_statistics(self, batches: Iterable[Batch]) -> None:
        if self.config.balance:
            self.balance.fit(self.errors(self.levels(batch)) for batch in batches)

    def forward(self, images: Tensor) -> MethodOutput:
        anomaly_map = self.fusion(self.balance(self.errors(tuple(self.teacher(images)))))
        return MethodOutput(anomaly_map, self.score(anomaly_map), {})

    def score(self, anomaly_map: Tensor) -> Tensor:
        """Image score ``(N,)`` of a map ``(N, 1, H, W)``: its maximum."""
        return anomaly_map.flatten(1).amax(1)


def student_plan(config: ReconstructionConfig, teacher: Teacher) -> StudentPlan:
    """Widths and blocks of bottleneck and student for a teacher."""
    return plan_student(
        teacher.channels,
        teacher.strides,
        student=config.student,
        width=config.width,
        bottleneck=config.bottleneck,
        blocks=config.student_blocks,
        quarters=config.stage_width,
    )
