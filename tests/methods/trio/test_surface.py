"""Surfaces: that pictures may have no layout is told from how little depends on the place."""

from __future__ import annotations

import numpy as np
import torch

from blemish.methods.base import Batch
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.model import Trio
from blemish.methods.trio.surface import SURFACE, share_of_place
from blemish.teachers.teacher import build_teacher

SIZE = (128, 192)


def fitted(images: np.ndarray, *, tiled: bool = False, **settings: float) -> Trio:
    config = TrioConfig(rows=50, groups=1, **settings)  # type: ignore[arg-type]
    method = Trio(config, build_teacher(), SIZE).eval()
    method.products = ("part",)
    pixels = torch.from_numpy(images.clip(0, 255).astype(np.uint8)).permute(0, 3, 1, 2)
    pictures = tuple(n // 2 for n in range(len(images))) if tiled else None
    torch.manual_seed(0)
    with torch.inference_mode():
        method.fit_statistics(
            [Batch(images=pixels, products=("part",) * len(images), pictures=pictures)]
        )
    return method


def grain(count: int) -> np.ndarray:
    """A woven field: coarse grain, another on every picture."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 30, (count, SIZE[0] // 4, SIZE[1] // 4, 1))
    return 120 + np.repeat(np.repeat(coarse, 4, 1), 4, 2) + np.zeros(3)


def test_a_field_of_grain_looks_like_a_surface_and_a_part_does_not() -> None:
    surface = fitted(grain(24))
    part = grain(24) / 10
    part[:, 32:96, 48:144] += 100
    lying_alike = fitted(part)
    shares = [
        share_of_place(made.gaussian, 0, made.patches.size) for made in (surface, lying_alike)
    ]
    assert shares[0] < 0.8 * SURFACE
    assert shares[1] > 1.5 * SURFACE
    [said] = [note for note in surface.notes() if "as of a surface" in note]
    assert said.startswith("part: ")
    assert "--set layout_weight=0" in said
    assert "--teacher efficientnet_lite0@8-16-32" in said
    assert not [note for note in lying_alike.notes() if "surface" in note]


def test_it_is_said_of_whole_pictures_enough_whose_layout_counts() -> None:
    for method in (
        fitted(grain(24), layout_weight=0),
        fitted(grain(12)),
        fitted(grain(24), tiled=True),
    ):
        assert not [note for note in method.notes() if "surface" in note]
