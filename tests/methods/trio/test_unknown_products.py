"""Pictures of no known product are called unknown, on what did not choose the limit."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from blemish.demo_line import DEFECTS, PRODUCTS, render
from blemish.methods.base import Batch
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.learning import put_product_beside
from blemish.methods.trio.model import Trio
from blemish.teachers.teacher import build_teacher

SIDE, TRAIN, TEST = 192, 20, 12
TEXTURES = ("grating", "checker", "dots", "clouds", "grain")
pytestmark = pytest.mark.slow


def texture(kind: str, k: int) -> NDArray[np.uint8]:
    """A computed texture: one kind is one product, ``k`` one picture of it."""
    rng = np.random.default_rng([1729, k, *kind.encode()])  # no picture that chose the limits
    y, x = np.mgrid[:SIDE, :SIDE]
    noise = rng.standard_normal((SIDE, SIDE))
    if kind == "grating":
        grey = np.sin(0.35 * (x + rng.uniform(0, 20)))
    elif kind == "checker":
        grey = np.sign(np.sin(0.2 * (x + rng.uniform(0, 30))) * np.sin(0.2 * y))
    elif kind == "dots":
        spots = (rng.random((SIDE, SIDE)) < 0.002).astype(float)
        grey = 40 * ndimage.gaussian_filter(spots, 4) - 0.5
    else:  # two sizes of blur
        blurred = ndimage.gaussian_filter(noise, {"clouds": 12, "grain": 1.5}[kind])
        grey = blurred / blurred.std()
    grey = 128 + 45 * grey + 6 * noise + rng.normal(0, 3)
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def part(product: str, k: int, *, odd: bool = False) -> NDArray[np.uint8]:
    rng = np.random.default_rng([1729, k, *product.encode()])
    kinds = list(DEFECTS[product])
    return render(product, size=SIDE, rng=rng, defect=kinds[k % len(kinds)] if odd else None)[0]


def stacked(pictures: list[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Trio]:
    """A trio of each product alone."""
    teacher = build_teacher()
    found = {}
    for name in (*PRODUCTS, *TEXTURES):
        show = part if name in PRODUCTS else texture
        method = Trio(TrioConfig(groups=1, rows=400), teacher, (SIDE, SIDE)).eval()
        with torch.inference_mode():
            method.fit_statistics([Batch(images=stacked([show(name, k) for k in range(TRAIN)]))])
        method.products = (name,)
        found[name] = method
    return found


@pytest.fixture(scope="module")
def features(fitted: dict[str, Trio]) -> dict[str, list[Tensor]]:
    """Patch features ``(n, D, h, w)`` of good pictures of every product, and of defective ones."""
    new = range(TRAIN, TRAIN + TEST)
    found = {}
    for name, method in fitted.items():
        if name in PRODUCTS:
            kinds = [[part(name, k) for k in new], [part(name, k, odd=True) for k in new]]
        else:
            kinds = [[texture(name, k) for k in new]]
        with torch.inference_mode():
            found[name] = [method.features(method.teacher(stacked(own))) for own in kinds]
    return found


def together(fitted: dict[str, Trio], names: list[str]) -> Trio:
    """One trio of several products that takes features for the teacher's levels."""
    first = fitted[names[0]]
    method = copy.deepcopy(first, {id(first.teacher): first.teacher})
    for name in names[1:]:
        put_product_beside(method, fitted[name], name)
    method.features = lambda features: features
    return method


# Less a little than was measured when this was written; docs/predict.md has the figures.
@pytest.mark.parametrize("known", [2, 4, 8])
def test_foreign_pictures_are_unknown_and_known_ones_are_not(
    fitted: dict[str, Trio], features: dict[str, list[Tensor]], known: int
) -> None:
    rng = np.random.default_rng(known)
    foreign: list[bool] = []
    own: list[bool] = []
    doubted: list[bool] = []
    for left in fitted:
        for _ in range(4):
            others = sorted(fitted.keys() - {left})
            chosen = rng.choice(others, known, replace=False).tolist()
            method = together(fitted, chosen)
            for name in (left, *chosen):
                for some in features[name]:
                    with torch.inference_mode():
                        output = method.measure(cast(Sequence[Tensor], some))
                    assert output.product is not None
                    assert output.rival is not None
                    if name == left:
                        foreign += (output.product < 0).tolist()
                    else:
                        own += (output.product == chosen.index(name)).tolist()
                        doubted += (output.rival >= 0).tolist()
    assert np.mean(foreign) >= 0.98
    assert np.mean(own) >= 0.995
    assert np.mean(doubted) <= 0.005
