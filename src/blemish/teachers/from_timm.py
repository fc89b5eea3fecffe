"""Any timm backbone with levels at strides 4, 8 and 16 as a teacher (extra ``timm``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from blemish._names import unknown_name_message
from blemish.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from blemish.teachers.teacher import Teacher, Weights

_STRIDES = (4, 8, 16)


def build_timm_teacher(name: str, *, weights: Weights) -> Teacher:
    """Build ``timm/<backbone>``; see :func:`blemish.teachers.teacher.build_teacher`.

    Example:
        >>> from blemish.teachers.teacher import build_teacher
        >>> build_teacher("timm/wide_resnet50_2", weights="random").channels  # doctest: +SKIP
        (256, 512, 1024)
    """
    from blemish.teachers.teacher import Teacher

    backbone = name.removeprefix("timm/")
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError(f"The teacher {name!r}", "timm") from error
    except RuntimeError as error:
        raise ConfigError(
            f"timm is installed but cannot be imported: {error}. A CUDA build of torchvision "
            "beside a CPU build of torch does this; install matching builds of both."
        ) from error
    if not timm.is_model(backbone):
        raise ConfigError(unknown_name_message("timm backbone", backbone, timm.list_models()))
    reductions = timm.create_model(backbone, features_only=True).feature_info.reduction()
    if not set(_STRIDES) <= set(reductions):
        raise ConfigError(
            f"{name} has feature levels at strides {list(reductions)}; a teacher needs 4, 8 and 16."
        )
    local = weights if isinstance(weights, Path) else None
    try:
        trunk = timm.create_model(
            backbone,
            features_only=True,
            out_indices=tuple(reductions.index(stride) for stride in _STRIDES),
            pretrained=weights != "random",
            pretrained_cfg_overlay={"file": str(local)} if local else None,
        )
    except Exception as error:
        raise ConfigError(
            f"The weights of {name} could not be had: {error}. Without internet, download them "
            "elsewhere and give the file as the teacher's weights."
        ) from error
    return Teacher(
        name,
        trunk,
        channels=tuple(trunk.feature_info.channels()),
        strides=_STRIDES,
        mean=tuple(trunk.pretrained_cfg["mean"]),
        std=tuple(trunk.pretrained_cfg["std"]),
        pretrained=weights != "random",
    )
