"""Product ``fabric`` of the synthetic demo line: a plain-woven cloth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blemish.data.demo.noise import Field, curve, smooth_noise, wobble
from blemish.data.demo.scene import Patch, Scene, circle, polyline

Pieces = list[tuple[Patch, Field]]


@dataclass
class Cloth:
    """A cloth before it is woven: where every thread runs, and which are damaged.

    Attributes:
        scene: The empty scene.
        u: Position across the warp (vertical) threads, in threads ``(h, w)``.
        v: Position across the weft (horizontal) threads, in threads ``(h, w)``.
        pitch: Width of a thread, in units.
        warp_cut: Damage to the warp, 0 whole to 1 gone, ``(h, w)``; ``None`` for none.
        weft_cut: The same of the weft.
    """

    scene: Scene
    u: Field
    v: Field
    pitch: float
    warp_cut: Field | None = None
    weft_cut: Field | None = None


def _loom(size: tuple[int, int], rng: np.random.Generator) -> Cloth:
    """Threads of a good cloth: random phase, small turn, slack."""
    scene = Scene(size, (0.02, 0.02, 0.025))
    pitch = float(rng.normal(6.6, 0.12))
    at = scene.everywhere(
        float(rng.uniform(-40, 0)), float(rng.uniform(-40, 0)), float(rng.normal(0, 0.03))
    )
    slack = np.float32(0.16)
    u = at.x / np.float32(pitch) + slack * smooth_noise(rng, scene.shape, (7, 7))
    v = at.y / np.float32(pitch * 1.04) + slack * smooth_noise(rng, scene.shape, (7, 7))
    return Cloth(scene, u, v, pitch)


def _weave(cloth: Cloth, rng: np.random.Generator) -> None:
    """Interlace the threads: height, colour and shade of every point."""
    scene = cloth.scene
    iu, iv = np.floor(cloth.u), np.floor(cloth.v)
    fu, fv = cloth.u - iu - np.float32(0.5), cloth.v - iv - np.float32(0.5)  # in [-0.5, 0.5)
    warp_number, weft_number = iu.astype(np.int32), iv.astype(np.int32)
    sign = (1 - 2 * ((warp_number + weft_number) & 1)).astype(np.float32)  # 1: warp on top
    threads = 4096
    # Thickness and tone of every thread differ a little.
    thick = (1 + 0.07 * rng.standard_normal((2, threads))).astype(np.float32)
    tone = (1 + 0.085 * rng.standard_normal((2, threads))).astype(np.float32)
    warp_id, weft_id = warp_number % threads, weft_number % threads
    lot = rng.normal(0, 1, 3)
    warp_colour = np.array([0.16, 0.22, 0.33]) * (1 + 0.03 * lot[0])
    weft_colour = np.array([0.34, 0.37, 0.40]) * (1 + 0.03 * lot[1])

    def profile(f: Field, width: Field) -> Field:
        arch: Field = np.maximum(1 - (f / (np.float32(0.47) * width)) ** 2, 0)
        return arch

    # Along a thread its height swings with the crossings.
    swing_u, swing_v = np.cos(np.pi * fv), np.cos(np.pi * fu)
    warp = profile(fu, thick[0][warp_id])
    weft = profile(fv, thick[1][weft_id])
    warp_height = np.where(warp > 0, np.sqrt(warp) * (1.0 + 0.55 * sign * swing_u), -1.2)
    weft_height = np.where(weft > 0, np.sqrt(weft) * (1.0 - 0.55 * sign * swing_v), -1.2)
    if cloth.warp_cut is not None:
        warp_height = np.where(cloth.warp_cut > 0.5, np.float32(-1.2), warp_height)
    if cloth.weft_cut is not None:
        weft_height = np.where(cloth.weft_cut > 0.5, np.float32(-1.2), weft_height)
    top = np.maximum(warp_height, weft_height)
    is_warp = warp_height >= weft_height
    bare = top <= -1.0
    # Twisted yarn: fine slanted lines along each thread.
    twist = np.where(
        is_warp, np.cos(19 * fu + 13 * cloth.v), np.cos(19 * fv + 13 * cloth.u)
    ).astype(np.float32)
    fuzz = smooth_noise(rng, scene.shape, (scene.shape[0] / 2.5, scene.shape[1] / 2.5))
    wear = smooth_noise(rng, scene.shape, (4, 5))
    shade = np.where(is_warp, tone[0][warp_id], tone[1][weft_id])
    shade = shade * (1 + 0.09 * twist + 0.05 * fuzz + 0.03 * wear)
    shade *= np.clip(0.42 + 0.42 * top, 0.2, 1.0)  # light is lost between the threads
    for channel in range(3):
        thread = np.where(
            is_warp, np.float32(warp_colour[channel]), np.float32(weft_colour[channel])
        )
        scene.colour[channel] = np.where(bare, np.float32(0.018), thread * shade)
    scene.height = top * np.float32(1.25)


def _hole(cloth: Cloth, rng: np.random.Generator) -> Pieces:
    """Torn threads around a gap: every thread ends at its own ragged place."""
    scene = cloth.scene
    radius = float(rng.uniform(6, 19))
    x, y = scene.anywhere(rng, 30)
    patch = scene.everywhere(x, y, float(rng.uniform(0, np.pi)))
    patch = Patch(
        patch.rows, patch.columns, patch.x / np.float32(rng.uniform(1, 1.5)), patch.y, patch.unit
    )
    ragged = rng.normal(0, 1, (2, 4096)).astype(np.float32)
    distance = circle(patch, radius)
    iu = np.floor(cloth.u).astype(np.int32) % 4096
    iv = np.floor(cloth.v).astype(np.int32) % 4096
    fray = np.float32(0.16 * radius + 0.8)
    cloth.warp_cut = (distance + fray * ragged[0][iu] < 0).astype(np.float32)
    cloth.weft_cut = (distance + fray * ragged[1][iv] < 0).astype(np.float32)
    near = distance < 2.5 * radius
    cloth.warp_cut *= near
    cloth.weft_cut *= near
    return [(patch, np.maximum(cloth.warp_cut, cloth.weft_cut))]


def _missing_thread(cloth: Cloth, rng: np.random.Generator) -> Pieces:
    """A run: one to three neighbouring threads are absent over some length."""
    scene = cloth.scene
    x, y = scene.anywhere(rng, 40)
    column, row = int(x * scene.unit), int(y * scene.unit)
    upright = bool(rng.random() < 0.5)
    across, along = (cloth.u, cloth.v) if upright else (cloth.v, cloth.u)
    first = np.floor(across[row, column])
    count = int(rng.integers(1, 4))
    reach = float(rng.uniform(6, 18)) * (1.5 if count == 1 else 1.0)
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


def _pucker(cloth: Cloth, rng: np.random.Generator, at: tuple[float, float]) -> Pieces:
    """Neighbouring threads drawn together where one was pulled out."""
    upright = bool(rng.random() < 0.5)
    patch = cloth.scene.everywhere(*at)
    across, along = (patch.x, patch.y) if upright else (patch.y, patch.x)
    width, length = float(rng.uniform(9, 14)), float(rng.uniform(28, 60))
    reach = np.exp(-((across / np.float32(width)) ** 2) - (along / np.float32(length)) ** 2)
    draw = np.float32(rng.uniform(1.2, 2.0)) * reach * (across / np.float32(width))
    if upright:
        cloth.u = cloth.u + draw
    else:
        cloth.v = cloth.v + draw
    return [(patch, (reach > 0.45).astype(np.float32))]


def _loop(scene: Scene, rng: np.random.Generator, at: tuple[float, float]) -> Pieces:
    """The thread that was pulled out, standing up from the cloth."""
    length = float(rng.uniform(34, 85))
    line = curve(rng, (0, 0), float(rng.uniform(0, 6.28)), length, bend=2.4, points=26)
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
    radius = float(rng.uniform(13, 38))
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


DEFECTS = ("stain", "pulled_thread", "hole", "missing_thread")

_BEFORE_WEAVING: dict[str, Callable[[Cloth, np.random.Generator], Pieces]] = {
    "hole": _hole,
    "missing_thread": _missing_thread,
}


def render(
    size: tuple[int, int], rng: np.random.Generator, defect: str | None
) -> tuple[Scene, list[tuple[str, NDArray[np.bool_]]]]:
    """The scene of one piece of cloth and its defects' areas."""
    cloth = _loom(size, rng)
    pieces: Pieces = []
    if defect in _BEFORE_WEAVING:
        pieces = _BEFORE_WEAVING[defect](cloth, rng)
        _weave(cloth, rng)
    elif defect == "pulled_thread":
        at = cloth.scene.anywhere(rng, 50)
        pieces = _pucker(cloth, rng, at)
        _weave(cloth, rng)
        pieces += _loop(cloth.scene, rng, at)
    else:
        _weave(cloth, rng)
        if defect == "stain":
            pieces = _stain(cloth.scene, rng)
    if defect is None:
        return cloth.scene, []
    return cloth.scene, [(defect, cloth.scene.mask(pieces))]
