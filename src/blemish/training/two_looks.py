"""Score normalisation of two looks, for methods that do not measure their pictures out of fold.

Some of the good pictures that were held out are judged, and what tiles and whole say of them gives
the units. What has trained would not do: a method that knows a picture by heart finds nothing odd.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from blemish._progress import Progress
from blemish.data.images.look_units import LookScores, LookUnits
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.data.sources import learnable_input
from blemish.errors import DataError, ImageError
from blemish.inspection.network import Network, NetworkOutput
from blemish.inspection.tiling import judged_tiles

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
    """Units from good pictures that the method has not learned.

    Of many some that are spread evenly, and others in place of those that cannot be read.

    Raises:
        DataError: Fewer than two can be read.
    """
    most = min(len(samples), _MOST)
    spread = np.linspace(0, len(samples) - 1, most).round().astype(int).tolist()
    pairs: list[tuple[LookScores, LookScores]] = []
    with progress.task("Comparing both looks", most) as task:
        for place in dict.fromkeys([*spread, *range(len(samples))]):
            if len(pairs) == most:
                break
            try:
                pixels = learnable_input(samples[place], preprocessing).pixels
            except ImageError:  # calibrating says it
                continue
            tiles, whole = judged_tiles(network, preprocessing, pixels).looks()
            pairs.append((_look(tiles), _look(whole)))
            task.advance(1)
    check_enough(len(pairs))
    return LookUnits.of(pairs)


def check_enough(pictures: int) -> None:
    """Refuse a coarse look where too few good pictures are new to the method to tell units by.

    Raises:
        DataError: Fewer than two.
    """
    if pictures < 2:
        raise DataError(
            "A coarse look (--coarse) is compared with the tiles on good pictures that the method "
            f"has not learned, and of these {pictures} can be read, where 2 are needed: give more "
            "good pictures, hold out a larger share (--hold-out), or leave --coarse out."
        )


def _look(output: NetworkOutput) -> LookScores:
    """Of the map the peak alone is kept: those of many pictures would not fit."""
    branches = {name: float(values[0]) for name, values in output.branches.items()}
    return LookScores(float(output.scores[0]), float(output.maps.max()), branches)
