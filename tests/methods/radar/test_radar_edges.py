"""RADAR's edges, Sobel's and long ones, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from blemish.methods.radar.edges import LongEdges, sobel_magnitude


def test_it_is_scipys_operator() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 1, 17, 23)).astype(np.float32)
    found = sobel_magnitude(torch.from_numpy(maps)).numpy()
    for one, edges in zip(maps[:, 0], found[:, 0], strict=True):
        expected = np.hypot(*(ndimage.sobel(one, axis=axis, mode="nearest") for axis in (0, 1)))
        np.testing.assert_allclose(edges, expected, atol=1e-5)


def test_a_long_edge_stands_out_of_noise_more_than_a_short_one() -> None:
    edges, size = LongEdges(2.0, 8.0, 8), (96, 128)
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.normal(size=(1, 1, *size))).float()
    ground = edges(noise).std()
    line, spot = torch.zeros(1, 1, *size), torch.zeros(1, 1, *size)
    line[..., 46:50, 30:90] = 1
    spot[..., 46:50, 58:62] = 1
    found = {
        name: float((edges(noise + one) - edges(noise)).max())
        for name, one in {"line": line, "spot": spot}.items()
    }
    assert found["line"] > 1.5 * found["spot"] > 0
    assert found["line"] > 3 * ground
    # Whichever way it runs, and not where nothing changes.
    upright = edges(line.transpose(2, 3)).transpose(2, 3)
    assert torch.allclose(upright, edges(line), atol=1e-3)
    assert edges(torch.ones(1, 1, 32, 32)).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(64, 64), (34, 46)])  # whole blocks of pixels, and not
def test_long_edges_are_the_derivative_of_an_elongated_gaussian(size: tuple[int, int]) -> None:
    maps = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    found = LongEdges(2.0, 6.0, 4)(maps)[0, 0].numpy()
    half = maps[0, 0].reshape(size[0] // 2, 2, -1, 2).mean((1, 3)).numpy()
    answers = []
    for k in range(4):
        y, x = np.mgrid[-9:10, -9:10]
        u = x * np.cos(np.pi * k / 4) + y * np.sin(np.pi * k / 4)
        v = y * np.cos(np.pi * k / 4) - x * np.sin(np.pi * k / 4)
        kernel = v * np.exp(-(u**2) / (2 * 3**2) - v**2 / (2 * 1**2))
        kernel /= np.abs(kernel).sum()
        answers.append(np.abs(ndimage.correlate(half.astype(np.float64), kernel, mode="nearest")))
    expected = torch.from_numpy(np.max(answers, 0))[None, None].float()
    wide = nn.functional.interpolate(expected, scale_factor=2.0, mode="bilinear")[0, 0]
    np.testing.assert_allclose(found, wide.numpy(), atol=1e-5)
