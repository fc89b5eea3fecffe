"""Settings of reverse distillation, and those that every reconstruction of features shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeAlias

from blemish.methods.settings import Count, Positive, Presets, Range, Share, TrainedConfig

#: One number for each level, or a single one for all.
Blocks: TypeAlias = tuple[Annotated[int, Range(0)], ...]
#: What Deng & Li state of the trunk, where it is not the default.
STATED_TRUNK: Mapping[str, object] = {
    "decay_at": 1.0,
    "balance": False,
    "standardise": False,
    "focus": 0.0,
    "flat_loss": True,
    "student_blocks": (3, 4, 6),
}


@dataclass(frozen=True)
class ReconstructionConfig(TrainedConfig):
    """Settings of what rebuilds a teacher's levels from a bottleneck.

    Example:
        >>> from blemish.methods.rd.config import ReconstructionConfig
        >>> ReconstructionConfig(steps=200).learning_rate
        0.005
    """

    epochs: Positive | None = None  # length in passes over the training images, instead of steps
    learning_rate: Positive = 5e-3  # Adam's step size (stated)
    decay_at: Share = 0.8  # share of the steps after which the rate is divided by ten; 1 = never
    clip_norm: Positive | None = 5.0  # largest gradient norm; none = no clipping
    width: Positive | None = None  # student's, relative to the light one; none = by the teacher
    bottleneck: Count | None = None  # channels of the bottleneck; none = by the teacher
    student_blocks: Blocks = (0,)  # residual blocks per level, shallow to deep, or of every level
    balance: bool = True  # divide each level's map by its deviation over good images (ours)
    standardise: bool = True  # bring the teacher's channels to one scale (ours)
    sigma: Positive = 4.0  # Gaussian over the map, pixels of the input (stated)


@dataclass(frozen=True)
class RDConfig(ReconstructionConfig):
    """Settings of reverse distillation, beyond those of any reconstruction.

    The preset ``paper`` is what Deng & Li state, with the loss of their code; beside it belong
    ``--teacher timm/wide_resnet50_2 --size 256``. What it cannot say: their student mirrors the
    teacher, where this one has as many blocks, but of two 3×3 convolutions and of its own widths.

    Example:
        >>> from blemish.methods.rd.config import RDConfig
        >>> RDConfig(focus=0).flat_loss
        False
    """

    presets: ClassVar[Presets] = {
        "light": {},
        "paper": {**STATED_TRUNK, "epochs": 200, "clip_norm": None},
    }

    focus: Annotated[float, Range(0, 8)] = 1.0  # power of positions' weights; 0 = none (stated)
    flat_loss: bool = False  # cosine of the flattened level (authors' code), not of each position
