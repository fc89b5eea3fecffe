"""First look: pictures and masks are read once before training, to say what is odd about them.

Twelve bits read as sixteen are nearly black, and train without complaint: ten minutes later it is
too late to say so. What tests and what marks is looked at as well, fewer of it: an inverted mask
costs no training, but every figure that follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from blemish.data.describe import shared_images
from blemish.data.images.reading import read_header, read_mask, read_with_largest
from blemish.data.pixel_checks import PixelChecks
from blemish.data.sample import DataSet, Sample, spread
from blemish.errors import BlemishError, ImageError
from blemish.runtime.cores import usable_cores

_MOST = 1000  # good pictures that are read; of more, as many evenly spread
_TESTED = 200  # of the pictures that test, and of the masks

_Item = TypeVar("_Item")
_Look = tuple[NDArray[np.uint8], "int | None", int]


def first_look(
    samples: Sequence[Sample], data_set: DataSet | None = None, *, bit_depth: int
) -> list[str]:
    """One sentence for each thing that is odd about good training pictures in files.

    With the data set that they come from, also about its masks, and about test pictures that show
    what trains.

    Example:
        >>> from blemish.training.first_look import first_look
        >>> first_look([], bit_depth=16)
        []
    """
    checks = PixelChecks(bit_depth)
    others = () if data_set is None else data_set.samples
    tested = [sample for sample in others if sample.split == "test"]

    def look(sample: Sample) -> _Look | None:
        try:
            pixels, largest = read_with_largest(sample.path, bit_depth=bit_depth)
            return pixels, largest, read_header(sample.path).frames
        except ImageError:
            return None  # said elsewhere

    def look_at_mask(path: Path) -> NDArray[np.uint8] | None:
        try:
            return read_mask(path)
        except BlemishError:
            return None  # said where it is measured

    pictures = [*_files(samples, _MOST), *_files(tested, _TESTED)]
    marked = spread([sample for sample in others if sample.mask_paths], _TESTED)
    masks = [(path, sample.product) for sample in marked for path in sample.mask_paths]
    with ThreadPoolExecutor(min(4, usable_cores())) as readers:
        for lot in _lots(pictures):
            for sample, found in zip(lot, readers.map(look, lot), strict=True):
                if found is not None:
                    checks.picture(sample, found[0], largest=found[1], frames=found[2])
        for named in _lots(masks):
            read = readers.map(look_at_mask, [path for path, _ in named])
            for (path, product), values in zip(named, read, strict=True):
                if values is not None:
                    checks.mask(path, values, product)
    shared = [] if data_set is None else shared_images(pictures, data_set.root)
    return [*checks.sentences(), *shared]


def _files(samples: Sequence[Sample], most: int) -> Sequence[Sample]:
    return spread([sample for sample in samples if sample.image is None], most)


def _lots(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """Few at a time: only as many pictures are in memory."""
    return (items[start : start + 8] for start in range(0, len(items), 8))
