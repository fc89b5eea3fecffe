"""Product ``metal`` of the synthetic demo line: a sheet of brushed steel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.demo_line.noise import Field, curve, resize, smooth_noise, wobble
from blemish.demo_line.scene import Patch, Scene, bevel, circle, polyline

Pieces = list[tuple[Patch, Field]]


def build(size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """A good sheet: brush marks of a random phase and small tilt, tone of the lot, highlight."""
    scene = Scene(size)
    h, w = scene.shape
    u = scene.unit
    angle = float(rng.normal(0, 0.025))
    tone = float(rng.normal(0.50, 0.025))
    warmth = float(rng.normal(0, 0.006))
    marks = _brush_marks(rng, (h, w), u, angle)  # (h, w)
    for channel, tint in enumerate((1.0 + warmth, 1.0, 1.015 - warmth)):
        scene.colour[channel] = np.float32(tone * tint) * (1 + np.float32(0.045) * marks)
    scene.metal[:] = 1.0
    scene.height = marks * np.float32(0.035)
    # A brushed surface spreads the light's image into a band across the brush marks.
    at = scene.everywhere(scene.extent[0] * float(rng.uniform(0.15, 0.85)), 0, angle)
    width = np.float32(scene.extent[0] * rng.uniform(0.22, 0.42))
    band = np.exp(-((at.x / width) ** 2))
    sheen = 0.62 + float(rng.uniform(0.25, 0.45)) * band
    cloud = smooth_noise(rng, (h, w), (3, 4))
    scene.exposure = sheen * (1 + np.float32(0.035) * cloud)
    return scene


def _brush_marks(
    rng: np.random.Generator, shape: tuple[int, int], unit: float, angle: float
) -> Field:
    """Streaks of many lengths, about unit deviation, turned by ``angle``."""
    h, w = shape
    margin = int(np.ceil(abs(np.sin(angle)) * max(h, w))) + 2
    tall, wide = h + 2 * margin, w + 2 * margin
    marks = np.zeros((tall, wide), np.float32)
    grain = max(2, round(tall / max(unit * 0.6, 1.0)))
    for length, strength in ((9.0, 0.42), (45.0, 0.62), (220.0, 0.55)):
        columns = max(2, round(wide / (length * unit)))
        lines = rng.standard_normal((grain, columns), dtype=np.float32)
        marks += np.float32(strength) * resize(lines, (tall, wide))
    c, s = float(np.cos(angle)), float(np.sin(angle))
    cx, cy = wide / 2, tall / 2
    matrix = (c, s, cx - c * w / 2 - s * h / 2, -s, c, cy + s * w / 2 - c * h / 2)
    turned = Image.fromarray(marks).transform(
        (w, h), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return np.asarray(turned, dtype=np.float32)


def scratch(scene: Scene, rng: np.random.Generator) -> Pieces:
    """A groove with raised lips that shows bare metal."""
    length = float(rng.uniform(45, 170))
    x, y = scene.anywhere(rng, 60)
    angle = float(rng.uniform(0.25, 2.9))  # not along the brush marks, where it would be one
    line = curve(rng, (0.0, 0.0), angle, length, bend=0.25)
    line -= line.mean(axis=0)
    width = float(rng.uniform(0.9, 2.2))
    patch = scene.patch(x, y, length * 0.62 + 6)
    distance, along = polyline(patch, line)
    taper = np.float32(width) * (0.35 + 0.65 * np.sqrt(np.clip(4 * along * (1 - along), 0, 1)))
    cover = patch.inside(distance - taper * 0.5)
    lips = np.exp(-(((distance - taper * 0.9) / np.float32(0.7)) ** 2))
    depth = float(rng.uniform(0.35, 0.8))
    scene.paint(patch, cover, raise_by=-depth)
    scene.paint(patch, lips, raise_by=depth * 0.3)
    gain = float(rng.uniform(1.9, 2.6) if rng.random() < 0.5 else rng.uniform(0.45, 0.65))
    scene.tint(patch, cover, (gain, gain, gain))
    return [(patch, patch.inside(distance - taper * 0.5 - np.float32(1.0)))]


def dent(scene: Scene, rng: np.random.Generator) -> Pieces:
    """A smooth hollow: no colour of its own, only light and shade."""
    radius = float(rng.uniform(9, 24))
    x, y = scene.anywhere(rng, 30)
    patch = scene.patch(x, y, radius * 2.6, float(rng.uniform(0, np.pi)))
    stretch = float(rng.uniform(1.0, 1.6))
    r2 = (patch.x / np.float32(radius * stretch)) ** 2 + (patch.y / np.float32(radius)) ** 2
    depth = radius * float(rng.uniform(0.07, 0.16))
    scene.paint(patch, np.exp(-1.6 * r2), raise_by=-depth)
    return [(patch, (r2 < 1.5).astype(np.float32))]


def stain(scene: Scene, rng: np.random.Generator) -> Pieces:
    """A dried drop or a patch of rust: dull, tinted, with a darker rim."""
    rust = bool(rng.random() < 0.5)
    strength = float(rng.uniform(0.45, 0.95))
    x, y = scene.anywhere(rng, 40)
    pieces: Pieces = []
    for drop in range(int(rng.integers(1, 4))):
        radius = float(rng.uniform(10, 26)) * (1.0 if drop == 0 else 0.4)
        away = 0.0 if drop == 0 else 34.0
        patch = scene.patch(
            x + float(rng.uniform(-away, away)), y + float(rng.uniform(-away, away)), radius * 1.9
        )
        angle = np.arctan2(patch.y, patch.x)
        distance = circle(patch, np.float32(radius) * wobble(rng, angle, 0.22))
        cover = patch.inside(distance, softness=2.5)
        rim = np.exp(-(((distance + 2.0) / np.float32(2.2)) ** 2)) * cover
        blotch = 1 + 0.25 * smooth_noise(rng, (patch.x.shape[0], patch.x.shape[1]), (9, 9))
        body = np.clip(cover * np.float32(strength) * blotch, 0, 1)
        scene.tint(patch, body, (0.80, 0.50, 0.30) if rust else (0.62, 0.60, 0.52))
        scene.tint(patch, rim * np.float32(strength), (0.60, 0.50, 0.42))
        scene.paint(patch, body * np.float32(0.7), metal=0.25 if rust else 0.6)
        pieces.append((patch, patch.inside(distance)))
    return pieces


def hole(scene: Scene, rng: np.random.Generator) -> Pieces:
    """A pit or puncture with a burr around it."""
    radius = float(rng.uniform(2.8, 8.5))
    x, y = scene.anywhere(rng, 20)
    patch = scene.patch(x, y, radius * 2.2 + 3)
    angle = np.arctan2(patch.y, patch.x)
    distance = circle(patch, np.float32(radius) * wobble(rng, angle, 0.14))
    burr = np.exp(-(((distance - 1.0) / np.float32(1.2)) ** 2))
    scene.paint(patch, burr, raise_by=0.9)
    inside = patch.inside(distance)
    scene.paint(patch, inside, height=-bevel(distance, radius, 7.0), metal=0.15)
    scene.tint(patch, inside, (0.14, 0.13, 0.12))
    return [(patch, patch.inside(distance - np.float32(2.2)))]


DEFECTS: dict[str, Callable[[Scene, np.random.Generator], Pieces]] = {
    "scratch": scratch,
    "dent": dent,
    "stain": stain,
    "hole": hole,
}


def render(
    size: tuple[int, int], rng: np.random.Generator, fault: np.random.Generator, defect: str | None
) -> tuple[Scene, list[tuple[str, NDArray[np.bool_]]]]:
    """The scene of one sheet, drawn from ``rng``, and its defects' areas, from ``fault``."""
    scene = build(size, rng)
    if defect is None:
        return scene, []
    return scene, [(defect, scene.mask(DEFECTS[defect](scene, fault)))]
