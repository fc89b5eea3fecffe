"""Tiles: a large picture as overlapping pieces of the network's input size, and their weights.

The tiles of a picture are spread evenly, so that neighbours share at least the overlap that was
asked for, nothing is left out, and none reaches over the edge unless the picture is smaller than a
tile. Where tiles overlap, each one's weight falls linearly towards its own border and all weights
of a pixel add up to 1: what comes of it has no seam.

With a coarse look, all of what is seen is one input more, scaled down to a tile. It lies below the
picture, in the same array, so that whoever cuts tiles cuts it too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.data.images.look_units import LookUnits
from blemish.errors import ConfigError

#: Share of a tile that neighbours overlap by where nothing else is asked for.
_OVERLAP = 1 / 8


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut into inputs of the network.

    Attributes:
        overlap: Pixels that neighbouring tiles share at least, after scaling.
        scale: Size at which a picture is seen, relative to its own, in (0, 1].
        coarse: Units of a second, coarse look at all of it; ``None``: there is none.

    Raises:
        ConfigError: A scale or an overlap that cannot be.

    Example:
        >>> from blemish.data.images.tiles import Tiling
        >>> Tiling(overlap=32).grid((500, 1250), (256, 256)).rows
        (0, 122, 244)
    """

    overlap: int
    scale: float = 1.0
    coarse: LookUnits | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.scale, int | float) and 0 < self.scale <= 1):
            raise ConfigError(
                f"The scale is {self.scale}; expected a number above 0 and up to 1, such as 0.5 to "
                "see pictures at half their size."
            )

    def check(self, tile: tuple[int, int]) -> None:
        """Refuse an overlap that tiles ``(H, W)`` cannot have."""
        if isinstance(self.overlap, bool) or not 0 <= self.overlap <= min(tile) // 2:
            raise ConfigError(
                f"Tiles of {tile[0]}×{tile[1]} were to overlap by {self.overlap} pixels; expected "
                f"from 0 to half a tile's side, {min(tile) // 2}."
            )

    def scaled(self, source: tuple[int, int]) -> tuple[int, int]:
        """``(H, W)`` of a picture of size ``source`` as it is seen."""
        height, width = (max(1, round(side * self.scale)) for side in source)
        return height, width

    def grid(self, size: tuple[int, int], tile: tuple[int, int]) -> TileGrid:
        """The tiles ``(H, W)`` of a picture of ``size``, which is no smaller than one."""
        return _grid(size, tile, self.overlap, self.coarse is not None)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, for the model file."""
        values: dict[str, Any] = {"overlap": self.overlap, "scale": self.scale}
        return values if self.coarse is None else {**values, "coarse": self.coarse.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tiling:
        """The inverse of :meth:`to_json`; :class:`ConfigError` for what is none of its values."""
        if (
            not isinstance(values, Mapping)
            or set(values) - {"coarse"} != {"overlap", "scale"}
            or type(values["overlap"]) is not int
        ):
            raise ConfigError(f"The tiling {values} is not one this version knows.")
        coarse = LookUnits.from_json(values["coarse"]) if "coarse" in values else None
        return cls(values["overlap"], values["scale"], coarse)


def default_overlap(tile: tuple[int, int]) -> int:
    """An eighth of the shorter side.

    Example:
        >>> from blemish.data.images.tiles import default_overlap
        >>> default_overlap((256, 256))
        32
    """
    return int(min(tile) * _OVERLAP)


@dataclass(frozen=True)
class TileGrid:
    """The tiles of one picture, in reading order.

    Attributes:
        size: ``(H, W)`` of the picture as it is seen.
        tile: ``(h, w)`` of a tile.
        rows, columns: First pixel of every row and column of tiles, ascending.
        coarse: Whether all of it, scaled down to a tile, is the last input, below it.

    Example:
        >>> import numpy as np
        >>> from blemish.data.images.tiles import TileGrid
        >>> grid = TileGrid((4, 6), (4, 4), (0,), (0, 2))
        >>> picture = np.arange(24).reshape(4, 6)
        >>> len(grid), grid.cut(picture, 1)[0].tolist()
        (2, [2, 3, 4, 5])
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    coarse: bool = False

    def __len__(self) -> int:
        return self.tiles + self.coarse

    @property
    def tiles(self) -> int:
        """How many tiles there are, which is also the place of the coarse look."""
        return len(self.rows) * len(self.columns)

    @property
    def canvas(self) -> tuple[int, int]:
        """``(H, W)`` of what all inputs are cut from."""
        return self.size[0] + self.coarse * self.tile[0], self.size[1]

    @property
    def shrunk(self) -> tuple[int, int, int, int]:
        """Top, left, height and width of what is seen in the coarse look."""
        scale = min(side / whole for side, whole in zip(self.tile, self.size, strict=True))
        height, width = (
            min(side, max(1, round(whole * scale)))
            for side, whole in zip(self.tile, self.size, strict=True)
        )
        return (self.tile[0] - height) // 2, (self.tile[1] - width) // 2, height, width

    def corner(self, place: int) -> tuple[int, int]:
        """Top and left pixel of the tile at a place."""
        if place == self.tiles:
            return self.size[0], 0
        row, column = divmod(place, len(self.columns))
        return self.rows[row], self.columns[column]

    def cut(self, pixels: NDArray[Any], place: int) -> NDArray[Any]:
        """The input at a place of ``(H, W[, C])``, the canvas: a view."""
        top, left = self.corner(place)
        return pixels[top : top + self.tile[0], left : left + self.tile[1]]

    def cuts(self, pixels: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
        """All inputs of ``(H, W, C)`` in order, ``(n, h, w, C)`` with ``n`` up to ``size``."""
        for start in range(0, len(self), size):
            places = range(start, min(start + size, len(self)))
            yield np.stack([self.cut(pixels, place) for place in places])

    def weights(self, place: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights of a tile's rows ``(h, 1)`` and columns ``(w,)``; a pixel's is their product."""
        row, column = divmod(place, len(self.columns))
        return self._down[row][:, None], self._across[column]

    @cached_property
    def _down(self) -> NDArray[np.float32]:
        return _weights(self.rows, self.tile[0], self.size[0])

    @cached_property
    def _across(self) -> NDArray[np.float32]:
        return _weights(self.columns, self.tile[1], self.size[1])


@lru_cache(maxsize=64)
def _grid(size: tuple[int, int], tile: tuple[int, int], overlap: int, coarse: bool) -> TileGrid:
    rows, columns = (_starts(*sides, overlap) for sides in zip(size, tile, strict=True))
    return TileGrid(size, tile, rows, columns, coarse)


def _starts(length: int, side: int, overlap: int) -> tuple[int, ...]:
    count = max(1, math.ceil((length - overlap) / (side - overlap)))
    return tuple(round(at * (length - side) / max(1, count - 1)) for at in range(count))


def _weights(starts: tuple[int, ...], side: int, length: int) -> NDArray[np.float32]:
    """Weights ``(n, side)`` of tiles along one axis; those of a pixel add up to 1."""
    at = np.arange(side) + 0.5
    weights = np.ones((len(starts), side))
    for number, (one, other) in enumerate(pairwise(starts)):
        shared = one + side - other
        if shared > 0:
            weights[number] = np.minimum(weights[number], (side - at) / shared)
            weights[number + 1] = np.minimum(weights[number + 1], at / shared)
    total = np.zeros(length)
    for start, own in zip(starts, weights, strict=True):
        total[start : start + side] += own
    for start, own in zip(starts, weights, strict=True):
        own /= total[start : start + side]
    return weights.astype(np.float32)
