"""Score normalisation of two looks, for methods that do not measure their pictures out of fold.

Some of the training pictures are judged, and what tiles and whole say of them gives the units.
Those that calibrate are left alone: to them the units are as new as to any other picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from blemish._progress import Progress
from blemish.data.images.look_units import LookUnits
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.data.sources import learnable_input
from blemish.errors import ImageError
from blemish.inspection.network import Network, NetworkOutput
from blemish.inspection.tiling import judged_tiles
from blemish.inspection.two_scales import units_of

#: Pictures that are judged at most: a median and a deviation need no more.
_MOST = 60


def has_two_looks(preprocessing: Preprocessing) -> bool:
    """Whether pictures are seen in tiles and as a whole."""
    return preprocessing.tiling is not None and preprocessing.tiling.coarse is not None


def with_units(preprocessing: Preprocessing, units: LookUnits) -> Preprocessing:
    """The same with units in which tiles and whole compare."""
    assert preprocessing.tiling is not None
    return replace(preprocessing, tiling=replace(preprocessing.tiling, coarse=units))


def units_by_judging(
    network: Network, preprocessing: Preprocessing, samples: Sequence[Sample], progress: Progress
) -> LookUnits:
    """Units from good pictures, of many samples some that are spread evenly."""
    places = np.linspace(0, len(samples) - 1, min(len(samples), _MOST)).round().astype(int)
    pairs: list[tuple[NetworkOutput, NetworkOutput]] = []
    for place in progress.track(places, "Comparing both looks", len(places)):
        try:
            pixels = learnable_input(samples[place], preprocessing).pixels
        except ImageError:  # said when it was to train
            continue
        tiles, whole = judged_tiles(network, preprocessing, pixels).looks()
        # Of the map the peak alone is kept: those of many pictures would not fit.
        pairs.append((_peak(tiles), _peak(whole)))
    return units_of(pairs)


def _peak(output: NetworkOutput) -> NetworkOutput:
    return replace(output, maps=output.maps.max().reshape(1, 1, 1), departures=None)
