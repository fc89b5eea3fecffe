"""Settings of PatchCore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from blemish.methods.settings import Count, MethodConfig, NotNegative, Presets, Share


@dataclass(frozen=True)
class PatchCoreConfig(MethodConfig):
    """Settings of PatchCore.

    The preset ``paper`` is what Roth et al. state; beside it belong ``--teacher
    timm/wide_resnet50_2 --size 224``. What it cannot say: they cut the middle 224 pixels out of
    pictures of 256, where here a picture is judged whole; and the number of neighbours that
    re-weight a score, of which the paper gives none.

    Example:
        >>> from blemish.methods.patchcore.config import PatchCoreConfig
        >>> PatchCoreConfig(rows=500).neighbourhood
        3
    """

    presets: ClassVar[Presets] = {
        "light": {},
        "paper": {
            "levels": (2, 3),
            "standardise": False,
            "patches": None,
            "share": 0.01,
            "groups": 1,
            "reweight": 9,
        },
    }

    levels: tuple[Count, ...] | None = None  # the teacher's, from 1, shallow to deep; none = all
    grid: Count | None = None  # level whose positions are the patches; none = that at stride 8
    neighbourhood: Literal[1, 3, 5, 7, 9] = 3  # side of the square of a patch, positions (stated)
    standardise: bool = True  # bring the teacher's channels to one scale (ours)
    patches: Count | None = 512  # drawn of each good picture for the memory; none = all (stated)
    rows: Count = 1000  # of the memory that a picture is compared with, those of its group
    share: Share | None = None  # of all patches that stay as rows, instead of a number (stated)
    groups: Count = 32  # most groups of pictures, each with its own rows; 1 = all share (stated)
    reweight: Count | None = None  # rows that re-weight the score (stated); none = largest distance
    sigma: NotNegative = 4.0  # Gaussian over the map, pixels of the input (stated)
