"""Settings of HFR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from blemish.methods.rd.config import STATED_TRUNK, ReconstructionConfig
from blemish.methods.settings import Count, Presets

#: Pictures of up to so many pixels a side are an object each, and soon anything is rebuilt.
SMALL_SIDE, SMALL_STEPS = 32, 100


@dataclass(frozen=True)
class HFRConfig(ReconstructionConfig):
    """Settings of HFR, beyond those of any reconstruction.

    ``paper`` leaves out what is ours and can be left out: balanced levels, and the light decoder
    for one that mirrors the encoder. Three levels, a decoder that sees the deepest alone and no
    augmentation are in every preset. Encoder, optimiser and length are not stated in the text at
    hand: they are reverse distillation's.

    Example:
        >>> from blemish.methods.hfr.config import HFRConfig
        >>> HFRConfig().levels
        3
    """

    presets: ClassVar[Presets] = {
        "light": {},
        "paper": {
            name: STATED_TRUNK[name]
            for name in ("student", "epochs", "decay_at", "clip_norm", "balance")
        },
    }

    levels: Count = 3  # K, the number of levels rebuilt, counted from the deepest (stated: 3)
    loss: Literal["cosine", "mse"] = "cosine"  # the cosine does not weigh positions by their norm
    # of the levels' maps; a product wants all levels to agree
    fusion: Literal["sum", "product"] = "sum"
    # of the map; none: mean on inputs up to 128 pixels and of images up to 32, else max
    score: Literal["max", "mean"] | None = None

    def settled(self, sizes: Sequence[tuple[int, int]]) -> HFRConfig:
        if max(map(max, sizes)) > SMALL_SIDE:
            return self
        steps = SMALL_STEPS if self._is_brief else self.steps
        blocks = self.student_blocks
        if self.student == "light" and blocks is None:
            blocks = (1,)  # all that was measured of small pictures has them
        # Whatever size they are brought to: the object is all of the picture.
        return replace(self, steps=steps, student_blocks=blocks, score=self.score or "mean")

    @property
    def _is_brief(self) -> bool:
        """Whether the length is left to us; the paper's decoder has the length of the others."""
        return self.student == "light" and self.steps is None and self.epochs is None

    def input_side(self, longest: int, most: int = 256) -> int:
        if self.student == "light" and longest <= SMALL_SIDE:
            return SMALL_SIDE
        return super().input_side(longest, most)
