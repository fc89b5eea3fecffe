"""Some good pictures of a product: as many as say what all are like, evenly spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from blemish._progress import Progress
from blemish.data.sample import Sample, spread
from blemish.data.sources import source_pixels
from blemish.errors import ImageError

#: Pictures that are looked at at most.
MOST = 64


def some_pictures(
    samples: Sequence[Sample], what: str, *, bit_depth: int, progress: Progress
) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
    """Samples and their pixels ``(H, W, 3)``; those that cannot be read are said elsewhere."""
    chosen = spread(samples, MOST)
    for sample in progress.track(chosen, what, len(chosen)):
        try:
            pixels = source_pixels(sample, bit_depth=bit_depth)
        except ImageError:
            continue
        yield sample, pixels
