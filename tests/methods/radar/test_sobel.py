from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from blemish.methods.radar.blocks import sobel_magnitude


def test_it_is_scipys_operator() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 1, 17, 23)).astype(np.float32)
    found = sobel_magnitude(torch.from_numpy(maps)).numpy()
    for one, edges in zip(maps[:, 0], found[:, 0], strict=True):
        expected = np.hypot(*(ndimage.sobel(one, axis=axis, mode="nearest") for axis in (0, 1)))
        np.testing.assert_allclose(edges, expected, atol=1e-5)
