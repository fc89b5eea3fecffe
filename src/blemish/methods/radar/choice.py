"""Timestep of RADAR: the one at which soft cracks and spots, planted into good images, stand out.

A small timestep rebuilds whatever is larger than a few pixels, defects too, and finds only what is
sharper than the picture; a large one hides small defects in its noise. Which is right follows from
texture and optics, and no defect is at hand. What is planted here is as soft as a lens makes it and
as strong as the picture's own deviations: the cuts through pixels of
:mod:`blemish.data.planted` are sharper than any defect, and small timesteps find them too well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from blemish.nn.anomaly_map import GaussianBlur

#: Largest side of the part of an image that is looked at, and anomalies planted into each.
_SIDE, _EACH = 384, 2


def choose_timestep(
    images: Tensor,
    timesteps: tuple[int, ...],
    residual: Callable[[Tensor, int], Tensor],
    peak: Callable[[Tensor], Tensor],
    *,
    soften: float = 2.0,
) -> int:
    """The timestep with the largest separation of planted anomalies from good images.

    Args:
        images: Good images ``(N, 3, H, W)``, 0..255, that the network has not trained on, N ≥ 2.
        timesteps: What to choose from.
        residual: Image ``(1, 3, h, w)`` and timestep → residual ``(1, 1, h, w)``.
        peak: Residual without what is usual in it → the local feature ``(1,)``, above 0.
        soften: Gaussian over what is planted, pixels.
    """
    good = _middle(images).float()
    planted = _with_anomalies(good, soften)
    separation = {t: _separation(good, planted, t, residual, peak) for t in timesteps}
    return max(separation, key=separation.__getitem__)


def _separation(
    good: Tensor,
    planted: Tensor,
    t: int,
    residual: Callable[[Tensor, int], Tensor],
    peak: Callable[[Tensor], Tensor],
) -> float:
    """How much an anomaly raises the log of its image's peak, in deviations between good images."""
    own = torch.cat([residual(one[None], t) for one in good])
    # What the others have in common: the image itself must not be in its own yardstick.
    usual = (own.sum(0, keepdim=True) - own) / (len(own) - 1)
    before = torch.cat([peak(one[None]) for one in own - usual]).log()
    after = torch.cat(
        [peak(residual(one[None], t) - usual[i // _EACH][None]) for i, one in enumerate(planted)]
    ).log()
    gain = after - before.repeat_interleave(_EACH)
    return float(gain.mean() / before.std().clamp_min(1e-6))


def _middle(images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    tall, wide = min(height, _SIDE), min(width, _SIDE)
    top, left = (height - tall) // 2, (width - wide) // 2
    return images[:, :, top : top + tall, left : left + wide]


def _with_anomalies(good: Tensor, soften: float) -> Tensor:
    """Each of ``(N, 3, h, w)`` with a crack and, another time, with a spot: ``(2N, 3, h, w)``."""
    blur, planted = GaussianBlur(soften).to(good.device), []
    for i, image in enumerate(good):
        rng = np.random.default_rng(i)
        for shape in (_crack, _spot):
            mask = torch.from_numpy(shape((image.shape[1], image.shape[2]), rng))
            strength = rng.choice((-1, 1)) * rng.uniform(3, 5) * float(image.std())
            soft = blur(mask.to(good.device)[None, None])[0]
            # In place of the texture, not on top of it: a crack is smooth inside.
            inside = (image.mean((1, 2), keepdim=True) + strength).clamp(0, 255)
            planted.append(image + soft * (inside - image))
    return torch.stack(planted)


def _crack(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """A bent line, some 2 % of the short side thick and 30 to 50 % of it long."""
    height, width = size
    side, heading = min(size), rng.uniform(0, 2 * np.pi)
    points = [np.array([width, height]) * rng.uniform(0.35, 0.65, 2)]
    step = side * rng.uniform(0.05, 0.08)
    for _ in range(6):
        heading += rng.normal(0, 0.25)
        points.append(points[-1] + step * np.array([np.cos(heading), np.sin(heading)]))
    drawn = Image.new("L", (width, height))
    line = [(float(x), float(y)) for x, y in points]
    thick = max(2, round(side * rng.uniform(0.03, 0.04)))
    ImageDraw.Draw(drawn).line(line, fill=255, width=thick, joint="curve")
    return np.asarray(drawn, np.float32) / np.float32(255)


def _spot(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """An ellipse, 4 to 8 % of the short side across."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    down, across = rng.uniform(0.3, 0.7, 2) * size
    radius, squeeze = min(size) * rng.uniform(0.03, 0.05), rng.uniform(0.7, 1.4)
    inside = np.hypot((y - down) * squeeze, (x - across) / squeeze) < max(radius, 1.5)
    return np.asarray(inside, np.float32)
