"""Tiled answer: what the network says of a picture's tiles as one answer for the picture.

The map is blended from the tiles' maps. The score is that of the worst tile, and so is each
branch's: a picture is as odd as its oddest place. The product is the one that most tiles show; it
has a rival unless more than half of the tiles show it beyond doubt.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.tiles import TileGrid
from blemish.inspection.network import Network, NetworkOutput
from blemish.inspection.prediction import one_of
from blemish.results import UNKNOWN_PRODUCT

#: Pixels of the picture that one cell of a blended departure stands for.
_CELL = 16


class TiledAnswer:
    """Takes the answers for a picture's tiles one by one, each as soon as it is there.

    A picture that is one input of the network keeps that answer as it is.

    Args:
        grid: The picture's tiles.
        tiled: Whether the picture may have several; only then is anything put together.

    Example:
        >>> import numpy as np
        >>> from blemish.data.images.tiles import Tiling
        >>> from blemish.inspection.network import NetworkOutput
        >>> from blemish.inspection.tiling import TiledAnswer
        >>> answer = TiledAnswer(Tiling(8).grid((32, 56), (32, 32)), tiled=True)
        >>> for place in range(2):
        ...     maps, scores = np.ones((1, 32, 32), "f4"), np.array([2.0 + place])
        ...     answer.add(place, NetworkOutput(maps, scores))
        >>> output = answer.output()
        >>> output.maps.shape, output.scores.tolist()
        ((1, 32, 56), [3.0])
    """

    def __init__(self, grid: TileGrid, *, tiled: bool) -> None:
        self.grid, self.tiled = grid, tiled
        self.done = 0
        self._only: NetworkOutput | None = None
        self._map: NDArray[np.float32] | None = None  # (H, W)
        self._scores: list[float] = []
        self._branches: dict[str, float] = {}
        self._departure: NDArray[np.float32] | None = None
        self._products: Counter[str] = Counter()
        self._rivals: Counter[str] | None = None
        self._clear: Counter[str] = Counter()  # products of tiles that have no rival

    def add(self, place: int, output: NetworkOutput) -> None:
        """Take the answer, N = 1, for the tile at a place of the grid."""
        self.done += 1
        if not self.tiled:
            self._only = output
            return
        if self._map is None:
            self._map = np.zeros(self.grid.size, np.float32)
        down, across = self.grid.weights(place)
        self.grid.cut(self._map, place)[:] += output.maps[0] * down * across
        self._scores.append(float(output.scores[0]))
        for name, values in output.branches.items():
            value = float(values[0])
            self._branches[name] = np.maximum(value, self._branches.get(name, value))
        if output.departures is not None:
            self._depart(place, output.departures[0])
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
        if 2 * self._clear[winner] > self.done:
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
        rows, columns = departure.shape
        per_row, per_column = self._departure.shape[0] / height, self._departure.shape[1] / width
        down = np.rint((top + np.arange(rows + 1) * tall / rows) * per_row).astype(int)
        across = np.rint((left + np.arange(columns + 1) * wide / columns) * per_column).astype(int)
        for row, column in np.ndindex(rows, columns):
            cells_here = self._departure[
                down[row] : down[row + 1], across[column] : across[column + 1]
            ]
            np.maximum(cells_here, departure[row, column], out=cells_here)


def judge_picture(
    network: Network,
    preprocessing: Preprocessing,
    pixels: NDArray[np.uint8],
    *,
    batch_size: int = 8,
) -> NetworkOutput:
    """The network's answer, N = 1, for one picture as ``preprocessing`` gives it."""
    grid = preprocessing.grid((pixels.shape[0], pixels.shape[1]))
    answer = TiledAnswer(grid, tiled=preprocessing.tiling is not None)
    place = 0
    for batch in grid.cuts(pixels, batch_size):
        output = network(batch)
        for row in range(len(batch)):
            answer.add(place, one_of(output, row))
            place += 1
    return answer.output()
