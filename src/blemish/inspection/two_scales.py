"""Score fusion of two scales: the tiles of a picture and a coarse look at all of it, as one answer.

Both are told in deviations of good pictures from their median. The score is their soft maximum,
``log((eᵃ + eᵇ) / 2)``, and so is each branch's: a picture that is a little odd in both is odder
than in one. The map has the larger of both at every place. Which product it shows the whole says.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.data.images.look_units import LookUnits, UnitPair
from blemish.data.images.tiles import TileGrid
from blemish.inspection.network import NetworkOutput

#: Rows of a map that are put together at a time.
_BAND = 256


def fused(units: UnitPair, tiles: float, whole: float) -> float:
    """The soft maximum of what tiles and whole score, in their units.

    Example:
        >>> from blemish.data.images.look_units import LookUnit, UnitPair
        >>> from blemish.inspection.two_scales import fused
        >>> round(fused(UnitPair(LookUnit(10.0, 2.0), LookUnit(0.0, 1.0)), 20.0, 0.0), 2)
        4.31
    """
    one, other = units.told(tiles, whole)
    if math.isnan(one + other):
        return math.nan
    return float(np.logaddexp(one, other)) - math.log(2)


def both(
    tiles: NetworkOutput, whole: NetworkOutput, grid: TileGrid, units: LookUnits
) -> NetworkOutput:
    """One answer, N = 1, from that for the tiles, their map at the size seen, and for the whole.

    The tiles' map becomes that of both.
    """
    top, left, height, width = grid.shrunk
    coarse = whole.maps[0, top : top + height, left : left + width].copy()
    for unit, amap in zip(units.peak, (tiles.maps, coarse), strict=True):
        amap -= np.float32(unit.middle)
        amap /= np.float32(unit.deviation)
    _raise_to(tiles.maps[0], coarse)
    return NetworkOutput(
        tiles.maps,
        np.array([fused(units.score, float(tiles.scores[0]), float(whole.scores[0]))]),
        {
            name: np.array(
                [fused(units.branch(name), float(values[0]), float(whole.branches[name][0]))]
            )
            for name, values in tiles.branches.items()
        },
        tiles.departures,
        whole.products,
        whole.rivals,
    )


def _raise_to(amap: NDArray[np.float32], coarse: NDArray[np.float32]) -> None:
    """Raise a map ``(H, W)`` to a coarser one, enlarged bilinearly, where that is higher.

    Some rows at a time: of a picture of 64 megapixels a second map takes 250 MB.
    """
    (height, width), rows = amap.shape, len(coarse)
    wide = np.asarray(Image.fromarray(coarse).resize((width, rows), Image.Resampling.BILINEAR))
    at = ((np.arange(height) + 0.5) * rows / height - 0.5).clip(0, rows - 1)
    above = at.astype(int)
    share = (at - above).astype(np.float32)[:, None]
    for start in range(0, height, _BAND):
        band = slice(start, start + _BAND)
        below = np.minimum(above[band] + 1, rows - 1)
        larger = wide[above[band]] * (1 - share[band]) + wide[below] * share[band]
        np.maximum(amap[band], larger, out=amap[band])
