"""Tile sample: which tiles of the training pictures are learned from, so that all fit.

Memory and time of a training grow with the pixels that the network sees. Up to a fixed number of
them every tile of every picture trains; beyond it each picture gives as many, drawn by the seed,
as the others. A coarse look at the whole picture always trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.reading import image_size
from blemish.data.sample import Sample
from blemish.errors import ImageError

#: Pixels that a training sees at most: some 2,700 inputs of 384², whose features take 2 GiB.
MOST_PIXELS = 400_000_000


@dataclass(frozen=True)
class TileSample:
    """The tiles that train.

    Attributes:
        places: For each picture the places of its tiles that train, ascending.
        whole: Whether these are all tiles of all pictures.
        coarse: Whether the last place of every picture is a coarse look at all of it.
    """

    places: tuple[tuple[int, ...], ...]
    whole: bool
    coarse: bool = False

    def __len__(self) -> int:
        return sum(map(len, self.places))

    def rows(self) -> list[tuple[int, int]]:
        """Picture and place of every tile, in order."""
        return [(picture, place) for picture, own in enumerate(self.places) for place in own]

    def looks(self) -> list[bool]:
        """Whether it is a coarse look, of every input, in order."""
        return [self.coarse and place == own[-1] for own in self.places for place in own]


def choose_tiles(
    samples: Sequence[Sample], preprocessing: Preprocessing, *, seed: int
) -> TileSample:
    """The tiles of pictures that train; without tiling every picture is one.

    A picture whose header cannot be read counts as one tile: who loads it says why.
    """
    counts = [_tiles(sample, preprocessing) for sample in samples]
    coarse = preprocessing.tiling is not None and preprocessing.tiling.coarse is not None
    left = MOST_PIXELS // (preprocessing.height * preprocessing.width) - coarse * len(counts)
    left = max(len(counts), left)
    taken = dict.fromkeys(range(len(counts)), 0)
    # Those with few tiles give all, and what they leave is shared among the others.
    for done, picture in enumerate(sorted(taken, key=lambda picture: counts[picture])):
        taken[picture] = min(counts[picture], left // (len(counts) - done))
        left -= taken[picture]
    places = tuple(
        tuple(range(count + coarse))
        if taken[picture] == count
        else (*_drawn(count, taken[picture], seed, picture), *([count] if coarse else []))
        for picture, count in enumerate(counts)
    )
    whole = all(taken[picture] == count for picture, count in enumerate(counts))
    return TileSample(places, whole, coarse)


def _tiles(sample: Sample, preprocessing: Preprocessing) -> int:
    if preprocessing.tiling is None:
        return 1
    try:
        shape = image_size(sample.path) if sample.image is None else sample.image.shape
    except ImageError:
        return 1
    frame = preprocessing.frame((shape[0], shape[1]))
    return preprocessing.inputs(frame).tiles


def _drawn(count: int, taken: int, seed: int, picture: int) -> tuple[int, ...]:
    rng = np.random.default_rng([seed, 13, picture])
    return tuple(sorted(rng.choice(count, taken, replace=False).tolist()))
