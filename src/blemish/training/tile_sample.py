"""Tile sample: which tiles of the training pictures are learned from, so that all fit.

Memory and time of a training grow with the pixels that the network sees. Up to a fixed number of
them every tile of every picture trains; beyond it each picture gives as many, drawn by the seed,
as the others.
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
    """

    places: tuple[tuple[int, ...], ...]
    whole: bool

    def __len__(self) -> int:
        return sum(map(len, self.places))

    def rows(self) -> list[tuple[int, int]]:
        """Picture and place of every tile, in order."""
        return [(picture, place) for picture, own in enumerate(self.places) for place in own]


def choose_tiles(
    samples: Sequence[Sample], preprocessing: Preprocessing, *, seed: int
) -> TileSample:
    """The tiles of pictures that train; without tiling every picture is one.

    A picture whose header cannot be read counts as one tile: who loads it says why.
    """
    counts = [_tiles(sample, preprocessing) for sample in samples]
    left = max(len(counts), MOST_PIXELS // (preprocessing.height * preprocessing.width))
    taken = dict.fromkeys(range(len(counts)), 0)
    # Those with few tiles give all, and what they leave is shared among the others.
    for done, picture in enumerate(sorted(taken, key=lambda picture: counts[picture])):
        taken[picture] = min(counts[picture], left // (len(counts) - done))
        left -= taken[picture]
    places = tuple(
        tuple(range(count))
        if taken[picture] == count
        else _drawn(count, taken[picture], seed, picture)
        for picture, count in enumerate(counts)
    )
    return TileSample(places, all(taken[picture] == n for picture, n in enumerate(counts)))


def _tiles(sample: Sample, preprocessing: Preprocessing) -> int:
    if preprocessing.tiling is None:
        return 1
    try:
        shape = image_size(sample.path) if sample.image is None else sample.image.shape
    except ImageError:
        return 1
    frame = preprocessing.frame((shape[0], shape[1]))
    return len(preprocessing.grid(preprocessing.seen(frame)))


def _drawn(count: int, taken: int, seed: int, picture: int) -> tuple[int, ...]:
    rng = np.random.default_rng([seed, 13, picture])
    return tuple(sorted(rng.choice(count, taken, replace=False).tolist()))
