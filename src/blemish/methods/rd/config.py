"""Settings of reverse distillation, and those that every reconstruction of features shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from blemish.errors import ConfigError
from blemish.methods.settings import Count, Positive, Presets, Range, Share, TrainedConfig
from blemish.methods.speeds import Speed

#: One number for each level, or a single one for all.
Blocks: TypeAlias = tuple[Annotated[int, Range(0)], ...]
#: What Deng & Li and their code state of the trunk, where it is not the default.
STATED_TRUNK: Mapping[str, object] = {
    "student": "mirror",
    "epochs": 200,
    "decay_at": 1.0,
    "clip_norm": None,
    "balance": False,
    "focus": 0.0,
    "flat_loss": True,
}
#: The teacher and input of their experiments.
STATED_INPUT = Speed("timm/wide_resnet50_2", 256, square=True)
#: How long a training is where neither steps nor epochs are set: passes over the training images,
#: and the fewest and most steps that they may come to.
EPOCHS, STEPS_WITHIN = 70.0, (500, 10_000)


@dataclass(frozen=True)
class ReconstructionConfig(TrainedConfig):
    """Settings of what rebuilds a teacher's levels from a bottleneck.

    Raises:
        ConfigError: A width for a student that has the teacher's.

    Example:
        >>> from blemish.methods.rd.config import ReconstructionConfig
        >>> ReconstructionConfig(steps=200).learning_rate
        0.005
    """

    preset_inputs: ClassVar[Mapping[str, Speed]] = {"paper": STATED_INPUT}

    # optimiser steps; none = by the number of images: 70 passes over them, but no fewer than 500
    # steps and no more than 10,000
    steps: Count | None = None  # type: ignore[assignment]
    epochs: Positive | None = None  # length in passes over the training images, instead of steps
    learning_rate: Positive = 5e-3  # Adam's step size (stated)
    decay_at: Share = 0.8  # share of the steps after which the rate is divided by ten; 1 = never
    clip_norm: Positive | None = 5.0  # largest gradient norm; none = no clipping
    # with its bottleneck; mirror: residual stages of the teacher's channels (stated), light: ours
    student: Literal["light", "mirror"] = "light"
    width: Positive | None = None  # light student's, relative to Lite0's; none = by the teacher
    bottleneck: Count | None = None  # channels of the bottleneck; none = by the teacher
    # residual blocks per level, shallow to deep, or of every level; none: light 0, mirror 6,4,3
    student_blocks: Blocks | None = None
    # inner width of the mirror's bottleneck blocks, in quarters: RD4AD 2, ADer and BoRAD 1
    stage_width: Literal[1, 2] = 2
    balance: bool = True  # divide each level's map by its deviation over good images (ours)
    standardise: bool = False  # bring the teacher's channels to one scale (ours)
    sigma: Positive = 4.0  # Gaussian over the map, pixels of the input (stated)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.student == "mirror" and self.width is not None:
            raise ConfigError(
                f"width={self.width:g}: a mirror has the channels of the teacher's levels. Leave "
                "the width out, or set student=light."
            )


@dataclass(frozen=True)
class RDConfig(ReconstructionConfig):
    """Settings of reverse distillation, beyond those of any reconstruction.

    The preset ``paper`` is what Deng & Li state, with the loss, bottleneck and decoder of their
    code; it brings their teacher and input, where no others are named.

    Example:
        >>> from blemish.methods.rd.config import RDConfig
        >>> RDConfig(focus=0).flat_loss
        False
    """

    presets: ClassVar[Presets] = {
        "light": {},
        "paper": STATED_TRUNK,
    }

    focus: Annotated[float, Range(0, 8)] = 1.0  # power of positions' weights; 0 = none (stated)
    flat_loss: bool = False  # cosine of the flattened level (authors' code), not of each position
