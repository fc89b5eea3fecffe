"""Connected areas of a mask, as boxes with area and peak. NumPy only: this runs on the line PC.

A run is a maximal horizontal stretch of marked pixels. Runs of neighbouring rows that touch, also
diagonally, are merged with a union-find whose every step works on all pairs at once; an image has
far fewer runs than pixels, and noise costs time in proportion to its runs, not more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blemish.errors import DataError
from blemish.results import Region

Indices = NDArray[np.intp]


def find_regions(
    mask: NDArray[np.bool_], anomaly_map: NDArray[np.float32], *, max_regions: int = 50
) -> tuple[Region, ...]:
    """The 8-connected areas of ``mask``, the highest peak first.

    Args:
        mask: ``(H, W)`` bool.
        anomaly_map: ``(H, W)`` float32, where the peaks are read.
        max_regions: At most so many are returned: noise must not flood a report.

    Raises:
        DataError: The shapes differ or are not two-dimensional.

    Example:
        >>> import numpy as np
        >>> from blemish.inspection.regions import find_regions
        >>> amap = np.array([[0, 3, 0, 0], [2, 0, 0, 0], [0, 0, 0, 7]], np.float32)
        >>> for region in find_regions(amap > 1, amap):
        ...     print(region)
        Region(box=(3, 2, 4, 3), area=1, peak=7.0)
        Region(box=(0, 0, 2, 2), area=2, peak=3.0)
    """
    if mask.ndim != 2 or mask.shape != anomaly_map.shape:
        raise DataError(
            f"The mask has shape {mask.shape} and the anomaly map {anomaly_map.shape}; both must "
            "be (height, width) of the same image."
        )
    mask = np.ascontiguousarray(mask, dtype=np.bool_)
    rows, starts, ends = _runs(mask)  # (R,) each
    if len(rows) == 0 or max_regions <= 0:
        return ()
    labels = _merge(len(rows), *_touching(rows, starts, ends, mask.shape[1]))  # (R,)
    lengths = ends - starts  # (R,)
    # Masked pixels come in the order of the runs, so that one run is one slice of them.
    peaks = np.maximum.reduceat(anomaly_map[mask], np.cumsum(lengths) - lengths)  # (R,)

    # Sorted by label, each region is a slice of the runs.
    order = np.argsort(labels, kind="stable")  # (R,)
    first = np.flatnonzero(np.diff(labels[order], prepend=-1))  # (K,)
    area = np.add.reduceat(lengths[order], first)  # (K,)
    peak = np.maximum.reduceat(peaks[order], first)
    left = np.minimum.reduceat(starts[order], first)
    right = np.maximum.reduceat(ends[order], first)
    top = np.minimum.reduceat(rows[order], first)
    bottom = np.maximum.reduceat(rows[order], first) + 1
    # Equal peaks: the larger area, then the upper left one, so that the order is always the same.
    best = np.lexsort((left, top, -area, -peak))[:max_regions]
    return tuple(
        Region(
            box=(int(left[i]), int(top[i]), int(right[i]), int(bottom[i])),
            area=int(area[i]),
            peak=float(peak[i]),
        )
        for i in best
    )


def _runs(mask: NDArray[np.bool_]) -> tuple[Indices, Indices, Indices]:
    """Row, first column and column past the end of every run, in reading order. (R,) each."""
    height, width = mask.shape
    # An empty column ends the runs of each row, so that the whole image is one line.
    line = np.zeros((height, width + 1), np.bool_)  # (H, W + 1)
    line[:, :width] = mask
    flat = line.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1  # start, end, start, end, …
    if flat.size and flat[0]:
        changes = np.concatenate(([0], changes))
    rows, starts = np.divmod(changes[0::2], width + 1)
    return rows, starts, changes[1::2] - rows * (width + 1)


def _touching(rows: Indices, starts: Indices, ends: Indices, width: int) -> tuple[Indices, Indices]:
    """All pairs of runs in neighbouring rows that touch, diagonals included. (P,) each."""
    # One ascending key over the whole image; a row's keys end before the next row's begin.
    stride = width + 1
    below = (rows + 1) * stride
    from_ = np.searchsorted(rows * stride + ends, below + starts, side="left")  # ends >= my start
    to = np.searchsorted(rows * stride + starts, below + ends, side="right")  # starts <= my end
    counts = np.maximum(to - from_, 0)  # (R,)
    upper = np.repeat(np.arange(len(rows)), counts)  # (P,)
    offset = np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts, counts)
    return upper, np.repeat(from_, counts) + offset


def _merge(n: int, a: Indices, b: Indices) -> Indices:
    """For each of n runs the smallest run connected with it through the pairs (a, b). (n,)"""
    root = np.arange(n)
    while len(a):
        # Every root that has a smaller neighbour is hung below it; then all point to their root.
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while True:
            above = root[root]
            if np.array_equal(above, root):
                break
            root = above
        a, b = root[a], root[b]
        apart = a != b
        a, b = a[apart], b[apart]
    return root
