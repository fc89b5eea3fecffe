"""Settings of reverse distillation, and those that every reconstruction of features shares."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from blemish.errors import ConfigError
from blemish.methods.base import ParameterGroup, Stage
from blemish.methods.schedule import StepDecay
from blemish.methods.settings import MethodConfig
from blemish.nn.reverse_distillation import StudentPlan, plan_student
from blemish.teachers.teacher import Teacher


@dataclass(frozen=True)
class ReconstructionConfig(MethodConfig):
    """Settings of what rebuilds a teacher's levels from a bottleneck.

    Example:
        >>> from blemish.methods.rd.config import ReconstructionConfig
        >>> ReconstructionConfig(steps=200).learning_rate
        0.005
    """

    learning_rate: float = 5e-3  # Adam's step size (stated)
    decay_at: float = 0.8  # share of the steps after which the rate is divided by ten; 1 = never
    clip_norm: float = 5.0  # largest gradient norm
    width: float = 0.0  # student's width relative to the light student; 0 = follow the teacher
    bottleneck: int = 0  # channels of the bottleneck; 0 = follow the teacher
    student_blocks: tuple[int, ...] = (0,)  # residual blocks per level, shallow to deep, or of all
    balance: bool = True  # divide each level's map by its deviation over good images (ours)
    standardise: bool = True  # bring the teacher's channels to one scale (ours)
    sigma: float = 4.0  # Gaussian over the map, pixels of the input (stated)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.decay_at <= 1:
            raise ConfigError(f"decay_at={self.decay_at}: expected a share in (0, 1].")
        if self.bottleneck < 0:
            raise ConfigError(f"bottleneck={self.bottleneck}: expected channels, or 0.")
        if not self.student_blocks or min(self.student_blocks) < 0:
            raise ConfigError(
                f"student_blocks={self.student_blocks}: expected numbers from 0, such as 0,1,1: "
                "the residual blocks of the student, shallow to deep level, or one for all levels."
            )
        if self.learning_rate <= 0 or self.sigma <= 0 or self.width < 0 or self.clip_norm <= 0:
            raise ConfigError("learning_rate, sigma and clip_norm must be positive, width ≥ 0.")

    def student(self, teacher: Teacher) -> StudentPlan:
        """Widths and blocks of bottleneck and student for a teacher."""
        return plan_student(
            teacher.channels,
            teacher.strides,
            width=self.width,
            bottleneck=self.bottleneck,
            blocks=self.student_blocks,
        )

    def stage(self, name: str, modules: tuple[nn.Module, ...]) -> Stage:
        """The one stage that trains a reconstruction."""
        adam = {"betas": (0.5, 0.999)}
        return Stage(
            name,
            (ParameterGroup(modules, self.learning_rate, adam, self.clip_norm),),
            self.steps,
            self.batch_size,
            schedule=StepDecay(self.decay_at),
        )


@dataclass(frozen=True)
class RDConfig(ReconstructionConfig):
    """Settings of reverse distillation, beyond those of any reconstruction.

    Example:
        >>> from blemish.methods.rd.config import RDConfig
        >>> RDConfig(focus=0).flat_loss
        False
    """

    focus: float = 1.0  # weight of a position: its distance to this power; 0 = plain mean (stated)
    flat_loss: bool = False  # cosine of the flattened level (authors' code), not of each position

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.focus <= 8:
            raise ConfigError(f"focus={self.focus}: expected a power from 0 (plain mean) to 8.")
