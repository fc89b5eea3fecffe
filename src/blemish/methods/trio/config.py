"""Settings of the trio of memory, position Gaussian and layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from blemish.methods.settings import Count, MethodConfig, NotNegative, Range


@dataclass(frozen=True)
class TrioConfig(MethodConfig):
    """Settings of the trio.

    Example:
        >>> from blemish.methods.trio.config import TrioConfig
        >>> TrioConfig().input_side(2000)
        384
    """

    grid: Count | None = None  # level whose positions are the patches; none = that at stride 16
    neighbourhood: Literal[1, 3, 5, 7, 9] = 3  # side of the square of a patch, positions
    pool: Count = 16000  # patches of each product that its memory is chosen from
    rows: Count = 1500  # of each product's memory
    pictures: Count = 500  # most good pictures of a product that anything is fitted on
    groups: Count = 32  # most kinds of picture looked for where no products are named
    layout_weight: Annotated[float, Range(0, 1)] = 0.4  # of the layout's deviations in the score
    sigma: NotNegative = 4.0  # Gaussian over the map, pixels of the input

    def input_side(self, longest: int) -> int:
        """384 pixels instead of 256: the largest step in what is found, chosen on all data sets."""
        return min(384, max(64, -(-longest // 16) * 32))
