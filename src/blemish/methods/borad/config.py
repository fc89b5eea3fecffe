"""Settings of BoRAD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from blemish.methods.rd.config import STATED_TRUNK, RDConfig
from blemish.methods.settings import Count, NotNegative, Positive, Presets, Range

Momentum: TypeAlias = Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class BoRADConfig(RDConfig):
    """Settings of BoRAD, beyond those of reverse distillation.

    The preset ``paper`` is what the paper and its authors' code state, on the trunk of
    :class:`~blemish.methods.rd.config.RDConfig`'s.

    Example:
        >>> from blemish.methods.borad.config import BoRADConfig
        >>> BoRADConfig().prototypes
        7
    """

    presets: ClassVar[Presets] = {
        "light": {},
        "paper": {
            **STATED_TRUNK,
            "epochs": 100,
            "clip_norm": 5.0,
            "residual": False,
            "divisors": (2, 4, 2),
            "stage_width": 1,
            "global_predictor": "published",
            "unmasked_statistics": False,
        },
    }

    spatial_weight: NotNegative = 1.0  # of spatial prototype alignment; 0 = off (stated: 1)
    global_weight: NotNegative = 1.0  # of prototype-relative global alignment; 0 = off (stated: 1)
    prototypes: Count = 7  # K, prototypes per location (stated)
    # Below 1: unmasked steps are where the normalisations learn what prediction will see.
    view_rate: Annotated[float, Range(0, 1, below=True)] = 0.5  # steps with masked views (stated)
    mask_share: Annotated[float, Range(0, 1, below=True)] = 0.5  # positions a mask hides (stated)
    momentum: tuple[Momentum, Momentum] = (0.99, 0.999)  # of the target, first and last (stated)
    head_learning_rate: Positive = 5e-3  # Adam's step size for bank and heads (stated)
    residual: bool = True  # add the projection to the level; false: replace it (stated)
    divisors: tuple[Count, ...] | None = None  # of a projection's channels; none = by the teacher
    # its end: published: normalisation and LeakyReLU, signed: a linear layer, as its target is
    global_predictor: Literal["signed", "published"] = "signed"
    # batch normalisations keep statistics of unmasked features alone (ours)
    unmasked_statistics: bool = True
