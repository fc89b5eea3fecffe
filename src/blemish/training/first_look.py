"""First look: the good pictures are read once before they train, to say what is odd about them.

Twelve bits read as sixteen are nearly black, and train without complaint: ten minutes later it is
too late to say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from blemish.data.images.reading import read_header, read_with_largest
from blemish.data.pixel_checks import PixelChecks
from blemish.data.sample import Sample
from blemish.errors import ImageError
from blemish.runtime.cores import usable_cores

_MOST = 1000  # pictures that are read; of more, as many evenly spread

_Look = tuple[NDArray[np.uint8], "int | None", int]


def first_look(samples: Sequence[Sample], *, bit_depth: int) -> list[str]:
    """One sentence for each thing that is odd about good training pictures in files.

    Example:
        >>> from blemish.training.first_look import first_look
        >>> first_look([], bit_depth=16)
        []
    """
    files = [sample for sample in samples if sample.image is None]
    files = files[:: max(1, -(-len(files) // _MOST))]
    checks = PixelChecks(bit_depth)

    def look(sample: Sample) -> _Look | None:
        try:
            pixels, largest = read_with_largest(sample.path, bit_depth=bit_depth)
            return pixels, largest, read_header(sample.path).frames
        except ImageError:
            return None  # said elsewhere

    with ThreadPoolExecutor(min(4, usable_cores())) as readers:
        # In small lots: only as many pictures are in memory at a time.
        for start in range(0, len(files), 8):
            lot = files[start : start + 8]
            for sample, found in zip(lot, readers.map(look, lot), strict=True):
                if found is not None:
                    checks.picture(sample, found[0], largest=found[1], frames=found[2])
    return checks.sentences()
