"""Settings of the trio of memory, position Gaussian and layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from blemish.data.images.preprocess import MULTIPLE
from blemish.methods.settings import Count, MethodConfig, NotNegative, Pass, Range
from blemish.methods.speeds import SPEEDS, Speed


@dataclass(frozen=True)
class TrioConfig(MethodConfig):
    """Settings of the trio.

    Example:
        >>> from blemish.methods.trio.config import TrioConfig
        >>> TrioConfig.speeds[TrioConfig.default_speed].side
        384
    """

    speeds: ClassVar[Mapping[str, Speed]] = {
        "fast": SPEEDS["fast"].measured(image_auroc=0.941, found_at_5=0.76),
        "balanced": SPEEDS["balanced"].measured(image_auroc=0.957, found_at_5=0.78),
        # Of what one network finds odd in good pictures, much is usual to the other.
        "best": Speed("efficientnet_lite0+efficientnet_lite2", 384).measured(
            image_auroc=0.964, found_at_5=0.80
        ),
    }
    default_speed: ClassVar[str] = "balanced"
    can_look_twice: ClassVar[bool] = True

    grid: Count | None = None  # level whose positions are the patches; none = that at stride 16
    neighbourhood: Literal[1, 3, 5, 7, 9] = 3  # side of what a patch is seen with, positions
    pool: Count = 24000  # patches of each product that its memory is chosen from
    rows: Count = 3000  # of each product's memory
    pictures: Count = 500  # most good pictures of a product that anything is fitted on
    # good pictures up to which turned copies of those are added that look as good turned; 0: none
    turned: Annotated[int, Range(0)] = 250
    groups: Count = 32  # most kinds of picture looked for where no products are named
    layout_weight: Annotated[float, Range(0, 1)] = 0.4  # of the layout's deviations in the score
    sigma: NotNegative = 4.0  # Gaussian over the map, pixels of the input
    # side of a look at the whole, beside a close one, which has the input's size; 0: one look
    coarse: Annotated[int, Range(0, multiple_of=32)] = 0

    @property
    def looks_twice(self) -> bool:
        return bool(self.coarse)

    def looking_twice(self, side: int) -> TrioConfig:
        return self if self.coarse else replace(self, coarse=side)

    def passes(self, teacher: str, input_size: tuple[int, int]) -> list[Pass]:
        scale = self.coarse / math.sqrt(math.prod(input_size))
        tall, wide = (max(1, round(scale * one / MULTIPLE)) * MULTIPLE for one in input_size)
        whole = tall, wide
        if not self.coarse or tall >= input_size[0] or wide >= input_size[1]:
            return super().passes(teacher, input_size)
        # Of several networks one looks closely: by all it would take three times as long as the
        # look at the whole.
        return [(teacher, whole), (teacher.partition("+")[0], input_size)]
