"""Tiled answer: what the network says of a picture's tiles as one answer for the picture.

The map is blended from the tiles' maps. The score is that of the worst tile, and so is each
branch's: a picture is as odd as its oddest place. The product is the one that most tiles show; it
has a rival unless more than half of the tiles show it beyond doubt. Where there is a coarse look
at the whole as well, both are put together in :mod:`two_scales`.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.tiles import TileGrid, Tiling
from blemish.inspection.network import Network, NetworkOutput
from blemish.inspection.prediction import one_of
from blemish.inspection.two_scales import both
from blemish.results import UNKNOWN_PRODUCT

#: Pixels of the picture that one cell of a blended departure stands for.
_CELL = 16


class TiledAnswer:
    """Takes the answers for a picture's tiles one by one, each as soon as it is there.

    A picture that is one input of the network keeps that answer as it is.

    Args:
        grid: The picture's inputs.
        tiling: How it was cut, ``None`` where it is one input; only else is anything put together.

    Example:
        >>> import numpy as np
        >>> from blemish.data.images.tiles import Tiling
        >>> from blemish.inspection.network import NetworkOutput
        >>> from blemish.inspection.tiling import TiledAnswer
        >>> answer = TiledAnswer(Tiling(8).grid((32, 56), (32, 32)), Tiling(8))
        >>> for place in range(2):
        ...     maps, scores = np.ones((1, 32, 32), "f4"), np.array([2.0 + place])
        ...     answer.add(place, NetworkOutput(maps, scores))
        >>> output = answer.output()
        >>> output.maps.shape, output.scores.tolist()
        ((1, 32, 56), [3.0])
    """

    def __init__(self, grid: TileGrid, tiling: Tiling | None) -> None:
        self.grid, self.tiling = grid, tiling
        self.done = 0
        self._only: NetworkOutput | None = None
        self._whole: NetworkOutput | None = None  # of the coarse look
        self._map: NDArray[np.float32] | None = None  # (H, W)
        self._scores: list[float] = []
        self._branches: dict[str, float] = {}
        self._departure: NDArray[np.float32] | None = None
        self._products: Counter[str] = Counter()
        self._rivals: Counter[str] | None = None
        self._clear: Counter[str] = Counter()  # products of tiles that have no rival

    def add(self, place: int, output: NetworkOutput) -> None:
        """Take the answer, N = 1, for the input at a place of the grid."""
        self.done += 1
        if self.tiling is None:
            self._only = output
            return
        if output.departures is not None:
            self._depart(place, output.departures[0])
        if place == self.grid.tiles:
            self._whole = output
            return
        if self._map is None:
            self._map = np.zeros(self.grid.size, np.float32)
        down, across = self.grid.weights(place)
        self.grid.cut(self._map, place)[:] += output.maps[0] * down * across
        self._scores.append(float(output.scores[0]))
        for name, values in output.branches.items():
            value = float(values[0])
            self._branches[name] = np.maximum(value, self._branches.get(name, value))
        self._products.update(output.products or ())
        if output.products and output.rivals is not None:
            self._rivals = self._rivals or Counter()
            self._rivals.update(filter(None, output.rivals))
            self._clear.update(output.products if not output.rivals[0] else ())

    @property
    def complete(self) -> bool:
        """Whether all tiles are there."""
        return self.done == len(self.grid)

    def output(self) -> NetworkOutput:
        """The answer for the picture, N = 1, its map at the size at which the picture is seen."""
        if self._only is not None:
            return self._only
        tiles = self.of_tiles()
        if self._whole is None:
            return tiles
        assert self.tiling is not None
        assert self.tiling.coarse is not None
        return both(tiles, self._whole, self.grid, self.tiling.coarse)

    def looks(self) -> tuple[NetworkOutput, NetworkOutput]:
        """The answers for the tiles and for the whole, where there is a coarse look."""
        assert self._whole is not None
        return self.of_tiles(), self._whole

    def of_tiles(self) -> NetworkOutput:
        """The answer for the tiles."""
        assert self._map is not None
        winner = self._products.most_common(1)  # of equals the one that came first
        return NetworkOutput(
            self._map[None],
            np.array([np.max(self._scores)]),  # NaN, if there is one
            {name: np.array([value]) for name, value in self._branches.items()},
            None if self._departure is None else self._departure[None],
            (winner[0][0],) if winner else None,
            None if self._rivals is None else (self._rival(winner[0][0], self._rivals),),
        )

    def _rival(self, winner: str, rivals: Counter[str]) -> str:
        if 2 * self._clear[winner] > self.grid.tiles:
            return ""
        others = self._products + rivals
        del others[winner], others[UNKNOWN_PRODUCT]
        return others.most_common(1)[0][0] if others else ""

    def _depart(self, place: int, departure: NDArray[np.float32]) -> None:
        """Write a tile's departure ``(h, w)`` into the picture's, the larger where two overlap."""
        height, width = self.grid.size
        if self._departure is None:
            cells = max(1, round(height / _CELL)), max(1, round(width / _CELL))
            self._departure = np.full(cells, -np.inf, np.float32)
        (top, left), (tall, wide) = self.grid.corner(place), self.grid.tile
        if place == self.grid.tiles:  # what is all of it there is all of it here
            down, across, *shrunk = self.grid.shrunk
            by_row, by_column = height / shrunk[0], width / shrunk[1]
            top, left = round(-down * by_row), round(-across * by_column)
            tall, wide = round(tall * by_row), round(wide * by_column)
        rows, columns = departure.shape
        per_row, per_column = self._departure.shape[0] / height, self._departure.shape[1] / width
        ends = (
            np.rint((top + np.arange(rows + 1) * tall / rows) * per_row),
            np.rint((left + np.arange(columns + 1) * wide / columns) * per_column),
        )
        y, x = (end.astype(int).clip(0) for end in ends)
        for row, column in np.ndindex(rows, columns):
            cells_here = self._departure[y[row] : y[row + 1], x[column] : x[column + 1]]
            np.maximum(cells_here, departure[row, column], out=cells_here)


def judge_picture(
    network: Network,
    preprocessing: Preprocessing,
    pixels: NDArray[np.uint8],
    *,
    batch_size: int = 8,
) -> NetworkOutput:
    """The network's answer, N = 1, for one picture as ``preprocessing`` gives it."""
    return judged_tiles(network, preprocessing, pixels, batch_size=batch_size).output()


def judged_tiles(
    network: Network,
    preprocessing: Preprocessing,
    pixels: NDArray[np.uint8],
    *,
    batch_size: int = 8,
) -> TiledAnswer:
    """All inputs of one picture, judged."""
    grid = preprocessing.grid((pixels.shape[0], pixels.shape[1]))
    answer = TiledAnswer(grid, preprocessing.tiling)
    place = 0
    for batch in grid.cuts(pixels, batch_size):
        output = network(batch)
        for row in range(len(batch)):
            answer.add(place, one_of(output, row))
            place += 1
    return answer
