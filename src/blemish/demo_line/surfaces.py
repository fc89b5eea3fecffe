"""Surfaces of the synthetic line: ``metal``, brushed steel, and ``fabric``, a plain-woven cloth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from blemish.demo_line.scene import (
    Areas,
    Field,
    Patch,
    Pieces,
    Pose,
    Scene,
    bevel,
    circle,
    curve,
    polyline,
    resize,
    smooth_noise,
    turned,
    wobble,
)

_THREADS = 4096  # after so many the yarn's irregularities repeat; even, to keep the weave
_NOTHING = np.float32(-1.2)  # elevation where no thread is, in thread radii
_BAND = 64  # rows woven at a time, so that the arrays stay in the processor's cache


def _sheet(size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """A good sheet: brush marks of a random phase and small tilt, tone of the lot, highlight."""
    scene = Scene(size)
    h, w = scene.shape
    u = scene.unit
    angle = rng.normal(0, 0.025)
    tone = rng.normal(0.50, 0.025)
    warmth = rng.normal(0, 0.006)
    marks = _brush_marks(rng, (h, w), u, angle)  # (h, w)
    for channel, tint in enumerate((1.0 + warmth, 1.0, 1.015 - warmth)):
        scene.colour[channel] = np.float32(tone * tint) * (1 + np.float32(0.045) * marks)
    scene.metal[:] = 1.0
    scene.height = marks * np.float32(0.035)
    # A brushed surface spreads the light's image into a band across the brush marks.
    at = scene.everywhere(scene.extent[0] * rng.uniform(0.15, 0.85), 0, angle)
    width = np.float32(scene.extent[0] * rng.uniform(0.22, 0.42))
    band = np.exp(-((at.x / width) ** 2))
    sheen = 0.62 + rng.uniform(0.25, 0.45) * band
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
    pose = Pose(w / 2, h / 2, angle)
    image = turned(Image.fromarray(marks), (h, w), (wide / 2, tall / 2), pose)
    return np.asarray(image, dtype=np.float32)


def _scratch(scene: Scene, rng: np.random.Generator) -> Pieces:
    """A groove with raised lips that shows bare metal."""
    length = rng.uniform(45, 170)
    x, y = scene.anywhere(rng, 60)
    angle = rng.uniform(0.25, 2.9)  # not along the brush marks, where it would be one
    line = curve(rng, (0.0, 0.0), angle, length, bend=0.25)
    line -= line.mean(axis=0)
    width = rng.uniform(0.9, 2.2)
    patch = scene.patch(x, y, length * 0.62 + 6)
    distance, along = polyline(patch, line)
    taper = np.float32(width) * (0.35 + 0.65 * np.sqrt(np.clip(4 * along * (1 - along), 0, 1)))
    cover = patch.inside(distance - taper * 0.5)
    lips = np.exp(-(((distance - taper * 0.9) / np.float32(0.7)) ** 2))
    depth = rng.uniform(0.35, 0.8)
    scene.paint(patch, cover, raise_by=-depth)
    scene.paint(patch, lips, raise_by=depth * 0.3)
    gain = float(rng.uniform(1.9, 2.6) if rng.random() < 0.5 else rng.uniform(0.45, 0.65))
    scene.tint(patch, cover, (gain, gain, gain))
    return [(patch, patch.inside(distance - taper * 0.5 - np.float32(1.0)))]


def _dent(scene: Scene, rng: np.random.Generator) -> Pieces:
    """A smooth hollow: no colour of its own, only light and shade."""
    radius = rng.uniform(9, 24)
    x, y = scene.anywhere(rng, 30)
    patch = scene.patch(x, y, radius * 2.6, rng.uniform(0, np.pi))
    stretch = rng.uniform(1.0, 1.6)
    r2 = (patch.x / np.float32(radius * stretch)) ** 2 + (patch.y / np.float32(radius)) ** 2
    depth = radius * rng.uniform(0.07, 0.16)
    scene.paint(patch, np.exp(-1.6 * r2), raise_by=-depth)
    return [(patch, (r2 < 1.5).astype(np.float32))]


def _rusty_stain(scene: Scene, rng: np.random.Generator) -> Pieces:
    """A dried drop or a patch of rust: dull, tinted, with a darker rim."""
    rust = bool(rng.random() < 0.5)
    strength = rng.uniform(0.45, 0.95)
    x, y = scene.anywhere(rng, 40)
    pieces: Pieces = []
    for drop in range(int(rng.integers(1, 4))):
        radius = rng.uniform(10, 26) * (1.0 if drop == 0 else 0.4)
        away = 0.0 if drop == 0 else 34.0
        patch = scene.patch(
            x + rng.uniform(-away, away), y + rng.uniform(-away, away), radius * 1.9
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


def _puncture(scene: Scene, rng: np.random.Generator) -> Pieces:
    """A pit or puncture with a burr around it."""
    radius = rng.uniform(2.8, 8.5)
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


METAL_DEFECTS: dict[str, Callable[[Scene, np.random.Generator], Pieces]] = {
    "scratch": _scratch,
    "dent": _dent,
    "stain": _rusty_stain,
    "hole": _puncture,
}


def render_metal(
    size: tuple[int, int], rng: np.random.Generator, fault: np.random.Generator, defect: str | None
) -> tuple[Scene, Areas]:
    """The scene of one sheet, drawn from ``rng``, and its defects' areas, from ``fault``."""
    scene = _sheet(size, rng)
    if defect is None:
        return scene, []
    return scene, [(defect, scene.mask(METAL_DEFECTS[defect](scene, fault)))]


@dataclass
class _Cloth:
    """A cloth before it is woven: the position ``u, v`` ``(h, w)`` across warp and weft, counted in
    threads of width ``pitch`` (units), and the damage to either, 0 whole to 1 gone.
    """

    scene: Scene
    u: Field
    v: Field
    pitch: float
    warp_cut: Field | None = None
    weft_cut: Field | None = None


def _loom(size: tuple[int, int], rng: np.random.Generator) -> _Cloth:
    """Threads of a good cloth: random phase, small turn, slack."""
    scene = Scene(size, (0.02, 0.02, 0.025))
    pitch = rng.normal(6.6, 0.12)
    at = scene.everywhere(rng.uniform(-40, 0), rng.uniform(-40, 0), rng.normal(0, 0.03))
    slack = np.float32(0.16)
    u = at.x / np.float32(pitch) + slack * smooth_noise(rng, scene.shape, (7, 7))
    v = at.y / np.float32(pitch * 1.04) + slack * smooth_noise(rng, scene.shape, (7, 7))
    return _Cloth(scene, u, v, pitch)


def _weave(cloth: _Cloth, rng: np.random.Generator) -> None:
    """Interlace the threads: height, colour and shade of every point."""
    h, w = cloth.scene.shape
    thick = (1 + 0.07 * rng.standard_normal((2, _THREADS))).astype(np.float32)
    tone = (1 + 0.085 * rng.standard_normal((2, _THREADS))).astype(np.float32)
    lot = 1 + 0.03 * rng.standard_normal((2, 1))
    colour = (np.array([[0.16, 0.22, 0.33], [0.34, 0.37, 0.40]]) * lot).astype(np.float32)
    uneven = np.float32(0.05) * smooth_noise(rng, (h, w), (h / 2.5, w / 2.5))
    uneven += 1 + np.float32(0.03) * smooth_noise(rng, (h, w), (4, 5))
    for first in range(0, h, _BAND):
        rows = slice(first, min(first + _BAND, h))
        u, v = cloth.u[rows], cloth.v[rows]
        iu, iv = np.floor(u), np.floor(v)
        fu, fv = u - iu - np.float32(0.5), v - iv - np.float32(0.5)  # in [-0.5, 0.5)
        warp_id, weft_id = iu.astype(np.intp) % _THREADS, iv.astype(np.intp) % _THREADS
        over = np.float32(0.55) - np.float32(1.1) * ((warp_id + weft_id) & 1)  # > 0: warp on top
        heights = []
        for f, other, number, sign, i, cut in (
            (fu, fv, warp_id, 1, 0, cloth.warp_cut),
            (fv, fu, weft_id, -1, 1, cloth.weft_cut),
        ):
            arch = 1 - (f / (np.float32(0.47) * thick[i].take(number))) ** 2
            # Along a thread its height swings with the crossings.
            height = np.sqrt(np.maximum(arch, 0))
            height *= 1 + sign * over * np.cos(np.float32(np.pi) * other)
            height[arch <= 0] = _NOTHING
            if cut is not None:
                height[cut[rows] > 0.5] = _NOTHING
            heights.append(height)
        top = np.maximum(heights[0], heights[1])
        is_warp = heights[0] >= heights[1]
        # Twisted yarn: fine slanted lines along each thread.
        twist = np.cos(np.where(is_warp, 19 * fu + 13 * v, 19 * fv + 13 * u))
        shade = np.where(is_warp, tone[0].take(warp_id), tone[1].take(weft_id))
        shade *= uneven[rows] + np.float32(0.09) * twist
        shade *= np.clip(0.42 + 0.42 * top, 0.2, 1.0)  # light is lost between the threads
        bare = top <= -1.0
        for channel in range(3):
            warp, weft = colour[:, channel]
            thread = np.where(is_warp, warp, weft)
            thread *= shade
            thread[bare] = 0.018
            cloth.scene.colour[channel, rows] = thread
        cloth.scene.height[rows] = top * np.float32(1.25)


def _hole(cloth: _Cloth, rng: np.random.Generator) -> Pieces:
    """Torn threads around a gap: every thread ends at its own ragged place."""
    scene = cloth.scene
    radius = rng.uniform(6, 19)
    x, y = scene.anywhere(rng, 30)
    patch = scene.everywhere(x, y, rng.uniform(0, np.pi))
    patch = Patch(
        patch.rows, patch.columns, patch.x / np.float32(rng.uniform(1, 1.5)), patch.y, patch.unit
    )
    ragged = rng.normal(0, 1, (2, _THREADS)).astype(np.float32)
    distance = circle(patch, radius)
    iu = np.floor(cloth.u).astype(np.int32) % _THREADS
    iv = np.floor(cloth.v).astype(np.int32) % _THREADS
    fray = np.float32(0.16 * radius + 0.8)
    cloth.warp_cut = (distance + fray * ragged[0][iu] < 0).astype(np.float32)
    cloth.weft_cut = (distance + fray * ragged[1][iv] < 0).astype(np.float32)
    near = distance < 2.5 * radius
    cloth.warp_cut *= near
    cloth.weft_cut *= near
    return [(patch, np.maximum(cloth.warp_cut, cloth.weft_cut))]


def _missing_thread(cloth: _Cloth, rng: np.random.Generator) -> Pieces:
    """A run: one to three neighbouring threads are absent over some length."""
    scene = cloth.scene
    x, y = scene.anywhere(rng, 40)
    column, row = int(x * scene.unit), int(y * scene.unit)
    upright = bool(rng.random() < 0.5)
    across, along = (cloth.u, cloth.v) if upright else (cloth.v, cloth.u)
    first = np.floor(across[row, column])
    count = int(rng.integers(1, 4))
    reach = rng.uniform(6, 18) * (1.5 if count == 1 else 1.0)
    cut = (
        (np.floor(across) >= first)
        & (np.floor(across) < first + count)
        & (np.abs(along - along[row, column]) < reach)
    ).astype(np.float32)
    if upright:
        cloth.warp_cut = cut
    else:
        cloth.weft_cut = cut
    return [(scene.everywhere(), cut)]


def _pucker(cloth: _Cloth, rng: np.random.Generator, at: tuple[float, float]) -> Pieces:
    """Neighbouring threads drawn together where one was pulled out."""
    upright = bool(rng.random() < 0.5)
    patch = cloth.scene.everywhere(*at)
    across, along = (patch.x, patch.y) if upright else (patch.y, patch.x)
    width, length = rng.uniform(9, 14), rng.uniform(28, 60)
    reach = np.exp(-((across / np.float32(width)) ** 2) - (along / np.float32(length)) ** 2)
    draw = np.float32(rng.uniform(1.2, 2.0)) * reach * (across / np.float32(width))
    if upright:
        cloth.u = cloth.u + draw
    else:
        cloth.v = cloth.v + draw
    return [(patch, (reach > 0.25).astype(np.float32))]


def _loop(scene: Scene, rng: np.random.Generator, at: tuple[float, float]) -> Pieces:
    """The thread that was pulled out, standing up from the cloth."""
    length = rng.uniform(34, 85)
    line = curve(rng, (0, 0), rng.uniform(0, 6.28), length, bend=2.4, points=26)
    patch = scene.patch(*at, length + 8)
    distance, along = polyline(patch, line)
    radius = np.float32(rng.uniform(1.7, 2.5))
    cover = patch.inside(distance - radius)
    body = np.sqrt(np.maximum(1 - (distance / radius) ** 2, 0))
    lift = 1.5 + 5 * along * (1 - along) * 4
    twist = 1 + 0.12 * np.cos(along * np.float32(length * 2.2) + 3 * distance)
    light = bool(rng.random() < 0.6)
    colour = np.array((0.40, 0.43, 0.46) if light else (0.10, 0.13, 0.21), np.float32)
    scene.paint(patch, cover, colour=colour[:, None, None] * twist, height=lift + 1.6 * body)
    return [(patch, patch.inside(distance - radius - np.float32(0.5)))]


def _stain(scene: Scene, rng: np.random.Generator) -> Pieces:
    """A liquid that soaked in: darker, tinted, with a tide mark."""
    radius = rng.uniform(13, 38)
    x, y = scene.anywhere(rng, 40)
    patch = scene.patch(x, y, radius * 1.8)
    angle = np.arctan2(patch.y, patch.x)
    distance = circle(patch, np.float32(radius) * wobble(rng, angle, 0.2))
    cover = patch.inside(distance, softness=4.0)
    rim = np.exp(-(((distance + 2.5) / np.float32(2.8)) ** 2)) * cover
    kinds = [(0.34, 0.30, 0.28), (0.70, 0.50, 0.26), (0.62, 0.34, 0.30), (0.40, 0.46, 0.55)]
    tint = kinds[int(rng.integers(len(kinds)))]
    strength = np.float32(rng.uniform(0.6, 1.0))
    scene.tint(patch, strength * cover, tint)
    scene.tint(patch, strength * 0.6 * rim, tint)
    return [(patch, patch.inside(distance))]


FABRIC_DEFECTS = ("stain", "pulled_thread", "hole", "missing_thread")


def render_fabric(
    size: tuple[int, int], rng: np.random.Generator, fault: np.random.Generator, defect: str | None
) -> tuple[Scene, Areas]:
    """The scene of one cloth, drawn from ``rng``, and its defects' areas, from ``fault``."""
    cloth = _loom(size, rng)
    pieces: Pieces = []
    if defect in ("hole", "missing_thread"):
        pieces = (_hole if defect == "hole" else _missing_thread)(cloth, fault)
        _weave(cloth, rng)
    elif defect == "pulled_thread":
        at = cloth.scene.anywhere(fault, 50)
        pieces = _pucker(cloth, fault, at)
        _weave(cloth, rng)
        pieces += _loop(cloth.scene, fault, at)
    else:
        _weave(cloth, rng)
        if defect == "stain":
            pieces = _stain(cloth.scene, fault)
    if defect is None:
        return cloth.scene, []
    return cloth.scene, [(defect, cloth.scene.mask(pieces))]
