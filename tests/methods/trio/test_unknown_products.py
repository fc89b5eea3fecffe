"""Pictures of no known product are called unknown, on what did not choose the limit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from blemish.demo_line import DEFECTS, PRODUCTS, render
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.model import Trio
from blemish.methods.trio.product_code import ProductCode
from blemish.teachers.teacher import build_teacher

SIDE, TRAIN, TEST = 192, 20, 12
pytestmark = pytest.mark.slow


def texture(kind: str, k: int) -> NDArray[np.uint8]:
    """A computed texture: one kind is one product, ``k`` one picture of it."""
    rng = np.random.default_rng([k, *kind.encode()])
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
    rng = np.random.default_rng([4711, k, *product.encode()])  # not the seed of the demo
    kinds = list(DEFECTS[product])
    return render(product, size=SIDE, rng=rng, defect=kinds[k % len(kinds)] if odd else None)[0]


@pytest.fixture(scope="module")
def codes() -> dict[str, dict[str, Tensor]]:
    """Mean features ``(n, D)`` of training, good and defective pictures of every product."""
    method = Trio(TrioConfig(), build_teacher(), (SIDE, SIDE)).eval()

    def of(pictures: list[NDArray[np.uint8]]) -> Tensor:
        images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return torch.cat(
                [method.patches(method.teacher(some)).mean((2, 3)) for some in images.split(8)]
            )

    found = {}
    for product in PRODUCTS:
        found[product] = {
            "train": of([part(product, k) for k in range(TRAIN)]),
            "good": of([part(product, TRAIN + k) for k in range(TEST)]),
            "odd": of([part(product, TRAIN + k, odd=True) for k in range(TEST)]),
        }
    for kind in ("grating", "checker", "dots", "clouds", "grain"):
        pictures = of([texture(kind, k) for k in range(TRAIN + TEST)])
        found[kind] = {"train": pictures[:TRAIN], "good": pictures[TRAIN:]}
    return found


# What was measured when this was written, less a little; docs/predict.md has the figures.
@pytest.mark.parametrize(("known", "least"), [(2, 0.88), (4, 0.85), (8, 0.65)])
def test_foreign_pictures_are_unknown_and_known_ones_are_not(
    codes: dict[str, dict[str, Tensor]], known: int, least: float
) -> None:
    rng = np.random.default_rng(known)
    foreign: list[bool] = []
    own: list[bool] = []
    doubted: list[bool] = []
    for left in codes:
        for _ in range(4):
            others = sorted(codes.keys() - {left})
            chosen = rng.choice(others, known, replace=False).tolist()
            code = ProductCode(codes[left]["train"].shape[1])
            code.fit([codes[n]["train"] for n in chosen], [torch.arange(TRAIN)] * known)
            for kind, pictures in codes[left].items():
                if kind != "train":
                    foreign += (code(pictures)[1] < 0).tolist()
            for place, name in enumerate(chosen):
                for kind, pictures in codes[name].items():
                    if kind != "train":
                        _, shown, rival = code(pictures)
                        own += (shown == place).tolist()
                        doubted += (rival >= 0).tolist()
    assert np.mean(foreign) >= least
    assert np.mean(own) >= 0.995
    assert np.mean(doubted) <= 0.005
