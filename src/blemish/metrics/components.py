"""The defects of a mask as connected components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blemish.errors import MissingExtraError


def component_weights(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """For every defective pixel one over the area of its component.

    Components are 8-connected: pixels that touch at a corner belong together. Summed over the
    pixels at or above a threshold, these weights give the covered fractions, added over
    components; that is what turns AUPRO into a cumulative sum.

    Args:
        mask: ``(H, W)`` bool.

    Returns:
        The weights ``(P,)`` in the order of ``map[mask]``; empty for an empty mask.

    Raises:
        MissingExtraError: If SciPy is not installed.

    Example:
        >>> import numpy as np
        >>> from blemish.metrics.components import component_weights
        >>> component_weights(np.array([[1, 0, 0, 1], [0, 1, 0, 1]], bool))
        array([0.5, 0.5, 0.5, 0.5])
    """
    try:
        from scipy import ndimage  # not in the base package
    except ModuleNotFoundError as error:
        raise MissingExtraError("Measuring AUPRO", "train") from error

    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        return np.empty(0, np.float64)
    columns = np.flatnonzero(mask.any(axis=0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # (h, w): labels less
    labels, count = ndimage.label(box, structure=np.ones((3, 3), np.int8))
    ids = labels[box]  # (P,), the row-major order of map[mask]
    areas = np.bincount(ids, minlength=count + 1)  # (K + 1,)
    weights: NDArray[np.float64] = 1.0 / areas[ids]
    return weights
