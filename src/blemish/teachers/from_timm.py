"""timm backbones as teachers, convolutional or transformer (extra ``timm``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from blemish._names import unknown_name_message
from blemish.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from blemish.teachers.teacher import Teacher, Weights

_STRIDES = (4, 8, 16)


def build_timm_teacher(name: str, *, weights: Weights) -> Teacher:
    """Build ``timm/<backbone>``; see :func:`blemish.teachers.teacher.build_teacher`.

    Of a hierarchical backbone the levels at strides 4, 8 and 16 are taken, where it has them, and
    all it has otherwise; of one whose levels share a stride, as a ViT's blocks do, those a quarter,
    a half and three quarters of the way. ``timm/<backbone>@2,5,8`` names the levels instead, by
    timm's ``out_indices``.
    """
    from blemish.teachers.teacher import Teacher

    backbone, _, levels = name.removeprefix("timm/").partition("@")
    if levels and not re.fullmatch(r"\d+(,\d+)*", levels):
        raise ConfigError(f"{name}: expected numbers of levels after @, such as @2,5,8.")
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

    def create(**options: Any) -> Any:
        return timm.create_model(backbone, features_only=True, **options)

    # A transformer that can takes images of any size whose sides its patches divide.
    flexible = {"dynamic_img_size": True}
    try:
        whole = create(**flexible)
    except Exception:  # of other backbones, each of which says it in its own way
        flexible = {}
        try:
            whole = create()
        except Exception as error:
            raise ConfigError(f"{name} does not give its features: {error}") from error
    chosen = tuple(map(int, levels.split(","))) if levels else _levels_of(whole)
    local = weights if isinstance(weights, Path) else None
    try:
        trunk = create(
            **flexible,
            out_indices=chosen,
            pretrained=weights != "random",
            pretrained_cfg_overlay={"file": str(local)} if local else None,
        )
    except (AssertionError, IndexError, ValueError) as error:
        raise ConfigError(f"{name}: the levels {list(chosen)} cannot be had: {error}.") from error
    except Exception as error:
        raise ConfigError(
            f"The weights of {name} could not be had: {error}. Without internet, download them "
            "elsewhere and give the file as the teacher's weights."
        ) from error
    data = trunk.pretrained_cfg
    fixed = data.get("fixed_input_size") and not flexible
    return Teacher(
        name,
        _ChannelsFirst(trunk) if str(getattr(trunk, "output_fmt", "")).endswith("NHWC") else trunk,
        channels=tuple(trunk.feature_info.channels()),
        strides=tuple(trunk.feature_info.reduction()),
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        pretrained=weights != "random",
        input_size=tuple(data["input_size"][1:]) if fixed else None,
    )


def _levels_of(whole: Any) -> tuple[int, ...]:
    """Which of a backbone's levels are taken where none are named."""
    strides = [level["reduction"] for level in whole.feature_info.info]
    if len(strides) > 1 and len(set(strides)) == 1:
        return tuple(sorted({max(0, len(strides) * part // 4 - 1) for part in (1, 2, 3)}))
    known = [strides.index(stride) for stride in _STRIDES if stride in strides]
    return tuple(known or range(len(strides)))


class _ChannelsFirst(nn.Module):
    """Levels ``(N, H, W, C)`` as ``(N, C, H, W)``."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> list[Tensor]:
        return [level.permute(0, 3, 1, 2) for level in self.trunk(images)]
