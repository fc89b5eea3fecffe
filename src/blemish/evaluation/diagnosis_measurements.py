"""What is measured of each image, product by product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish.data.planted import KINDS, plant_anomaly
from blemish.evaluation.leakage import LeakageSum
from blemish.methods.base import MethodOutput
from blemish.teachers.teacher import Teacher

Pixels = NDArray[np.uint8]


@runtime_checkable
class Rebuilds(Protocol):
    """What a method needs to be diagnosed: a bottleneck, and levels rebuilt from it."""

    teacher: Teacher

    def __call__(self, images: Tensor) -> MethodOutput:
        """Map and score of images ``(N, 3, H, W)``."""

    def standardise(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The teacher's levels as the bottleneck takes them."""

    def embed(self, levels: tuple[Tensor, ...]) -> Tensor:
        """The bottleneck's output ``(N, C, h, w)`` for standardised levels."""

    def rebuild(self, levels: tuple[Tensor, ...]) -> list[tuple[Tensor, Tensor]]:
        """Pairs of standardised level and its reconstruction, for the teacher's levels."""


class ProductMeasurements:
    """Scores, leakage sums and pooled vectors of one product's images.

    Attributes:
        good, planted, real: Scores of good images, of the same with a planted anomaly, and of
            defective ones.
        leakage: By kind of planted anomaly.
        embedded: Bottleneck's global average pool ``(C,)`` of each good image.
        of_teacher: The same of the teacher's deepest level.
    """

    def __init__(self) -> None:
        self.good: list[float] = []
        self.planted: list[float] = []
        self.real: list[float] = []
        self.leakage: dict[str, LeakageSum] = {}
        self.embedded: list[NDArray[np.float32]] = []
        self.of_teacher: list[NDArray[np.float32]] = []

    @torch.inference_mode()
    def add_good(self, method: Rebuilds, image: Pixels, rng: np.random.Generator) -> None:
        """Measure a good image ``(H, W, 3)``, and with every kind of anomaly planted into it."""
        planted, masks = zip(*(plant_anomaly(image, rng, kind=kind) for kind in KINDS), strict=True)
        images = _images(method, np.stack([image, *planted]))  # (1 + kinds, 3, H, W)
        score, *others = method(images).score.tolist()
        self.good.append(score)
        self.planted += others
        levels = tuple(method.teacher(images))
        pairs = method.rebuild(levels)
        clean = [(f[:1], s[:1]) for f, s in pairs]
        for row, (kind, mask) in enumerate(zip(KINDS, masks, strict=True), start=1):
            changed = [(f[row : row + 1], s[row : row + 1]) for f, s in pairs]
            at = torch.from_numpy(mask[None]).to(images.device)
            self.leakage.setdefault(kind, LeakageSum(len(pairs))).add(clean, changed, at)
        as_seen = method.standardise(tuple(level[:1] for level in levels))
        self.embedded.append(_pooled(method.embed(as_seen)))
        self.of_teacher.append(_pooled(as_seen[-1]))

    @torch.inference_mode()
    def add_defective(self, method: Rebuilds, image: Pixels) -> None:
        """Score a defective image ``(H, W, 3)``."""
        self.real += method(_images(method, np.stack([image]))).score.tolist()


def _images(method: Rebuilds, pixels: Pixels) -> Tensor:
    """``(N, H, W, 3)`` uint8 → ``(N, 3, H, W)`` where the method is."""
    device = next(method.teacher.parameters()).device
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)


def _pooled(features: Tensor) -> NDArray[np.float32]:
    return features[0].float().mean((1, 2)).cpu().numpy()  # (C,)
