"""Screws, washers and nuts of the synthetic demo line, as they lie in a tray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from blemish.demo_line.scene import (
    Colour,
    Field,
    Patch,
    Scene,
    bevel,
    box,
    circle,
    hexagon,
    smooth_noise,
    wobble,
)

STEEL: Colour = (0.56, 0.57, 0.58)
ZINC: Colour = (0.66, 0.66, 0.64)
BRASS: Colour = (0.66, 0.47, 0.17)
BLACK_OXIDE: Colour = (0.13, 0.13, 0.14)


@dataclass(frozen=True)
class Kind:
    """A kind of part, lengths in units."""

    form: Literal["screw", "pin", "ring", "nut"]
    colour: Colour
    length: float  # along the axis; 0 for flat parts
    radius: float  # of the shaft or the outer edge; a nut's apothem
    inner: float  # radius of the head (screw) or of the hole
    sides: int = 6  # flats of a nut, 6 or 4

    @property
    def reach(self) -> float:
        """Radius of a circle around the centre that holds the part, units."""
        return self.length / 2 + self.inner if self.length else self.radius * 1.5

    def discs(self) -> list[tuple[float, float]]:
        """Circles ``(offset along the axis, radius)`` that cover the part, to keep parts apart."""
        if not self.length:
            return [(0.0, self.radius * {6: 1.15, 4: 1.35}[self.sides])]
        wide = self.inner if self.form == "screw" else self.radius
        step = wide * 1.2
        count = max(2, int(np.ceil(self.length / step)))
        ends = self.length / 2 - wide * 0.5
        return [(float(o), wide) for o in np.linspace(-ends, ends, count)]


KINDS: dict[str, Kind] = {
    "long_screw": Kind("screw", ZINC, 66.0, 4.3, 8.6),
    "short_screw": Kind("screw", BRASS, 38.0, 4.3, 8.2),
    "washer": Kind("ring", STEEL, 0.0, 16.5, 8.3),
    "nut": Kind("nut", ZINC, 0.0, 12.6, 7.2),
    # What does not belong in the tray at all.
    "pin": Kind("pin", STEEL, 52.0, 4.6, 4.6),
    "black_screw": Kind("screw", BLACK_OXIDE, 52.0, 3.6, 7.6),
    "large_washer": Kind("ring", BRASS, 0.0, 19.5, 6.4),
    "square_nut": Kind("nut", BRASS, 0.0, 12.0, 6.6, sides=4),
}


@dataclass(frozen=True)
class Part:
    """One part in the tray, in its units and rad."""

    kind: str
    x: float
    y: float
    angle: float
    size: float = 1.0  # factor on all its lengths
    tone: float = 1.0  # factor on its brightness
    damage: str | None = None  # bent, rusty or broken


def draw(
    scene: Scene, part: Part, at: tuple[float, float, float], rng: np.random.Generator
) -> tuple[Patch, Field]:
    """Lay a part at x, y (units) and turn (rad) of the *scene*, and give its patch and coverage.

    ``rng`` decides the details of damage.
    """
    kind = KINDS[part.kind]
    patch = scene.patch(at[0], at[1], kind.reach * part.size * 1.25 + 3, at[2])
    zoom = np.float32(1 / part.size)
    patch = Patch(patch.rows, patch.columns, patch.x * zoom, patch.y * zoom, patch.unit * part.size)
    cut = _break(patch, kind, rng) if part.damage == "broken" else None
    if kind.form in ("screw", "pin"):
        distance, height = _shaft(patch, kind, _bend(patch, rng, part.damage == "bent"))
    elif kind.form == "ring":
        distance = np.abs(circle(patch, (kind.radius + kind.inner) / 2))
        distance -= np.float32((kind.radius - kind.inner) / 2)
        height = bevel(distance, 1.6, 2.8)
        if part.damage == "bent":  # folded along a line through the hole
            height = height + np.maximum(patch.x + 3, 0) * np.float32(rng.uniform(0.35, 0.6))
    else:
        distance, height = _nut(patch, kind)
    if cut is not None:
        distance = np.maximum(distance, cut)
        height = np.minimum(height, bevel(cut, 0.8, 30.0))
    cover = patch.inside(distance)
    tone = np.float32(part.tone)
    colour = tuple(float(c * tone) for c in kind.colour)
    black = kind.colour is BLACK_OXIDE
    scene.paint(
        patch,
        cover,
        colour=(colour[0], colour[1], colour[2]),
        height=height,
        metal=0.7 if black else 1.0,
        gloss=0.12 if black else 0.0,
    )
    if part.damage == "rusty":
        _rust(scene, patch, cover, rng)
    return patch, cover


def _bend(patch: Patch, rng: np.random.Generator, bent: bool) -> Field | None:
    """Sideways offset of a bent shaft along its axis."""
    if not bent:
        return None
    slope = float(rng.choice([-1, 1]) * rng.uniform(0.38, 0.8))
    knee = rng.uniform(-6, 6)
    soft = np.logaddexp(0, (patch.x - knee) / 3) * 3
    return (slope * soft).astype(np.float32)


def _shaft(patch: Patch, kind: Kind, bend: Field | None) -> tuple[Field, Field]:
    """A screw or pin lying on its side: signed distance and elevation."""
    x = patch.x
    y = patch.y if bend is None else (patch.y - bend) * np.float32(0.86)
    half = kind.length / 2
    r = np.float32(kind.radius)
    if kind.form == "pin":
        round_end = np.clip((np.abs(x) - np.float32(half - 2.5)) / np.float32(2.5), 0, 1)
        radius = r * (1 - 0.35 * round_end * round_end)
        distance = np.maximum(np.abs(y) - radius, np.abs(x) - np.float32(half))
        return distance, r + np.sqrt(np.maximum(radius * radius - y * y, 0))
    head_length = np.float32(kind.inner * 0.85)
    collar = np.float32(-half) + head_length  # underside of the head
    tip = np.clip((x - np.float32(half - 7)) / 7, 0, 1)
    thread = np.abs(np.mod(x / np.float32(3.3) - y * np.float32(0.06), 1) * 2 - 1)
    threaded = np.clip((x - collar - 5) / 2, 0, 1)
    radius = r * (1 - np.float32(0.22) * threaded * thread) * (1 - 0.75 * tip)
    back = np.clip((collar - x) / head_length, 0, 1)  # 0 at the collar, 1 at the top of the dome
    dome = np.float32(kind.inner) * np.sqrt(np.maximum(1 - back**3, 0))
    in_head = (x <= collar) & (x >= np.float32(-half))
    radius = np.where(in_head, dome, radius)
    distance = np.maximum(np.abs(y) - radius, np.abs(x) - np.float32(half))
    height = np.float32(kind.inner * 0.8) + np.sqrt(np.maximum(radius * radius - y * y, 0))
    return distance.astype(np.float32), height.astype(np.float32)


def _nut(patch: Patch, kind: Kind) -> tuple[Field, Field]:
    """A nut lying flat: chamfered corners, a threaded hole."""
    outer = (
        hexagon(patch, kind.radius)
        if kind.sides == 6
        else box(patch, kind.radius, kind.radius, corner=1.2)
    )
    r = np.hypot(patch.x, patch.y)
    distance = np.maximum(outer, np.float32(kind.inner) - r)
    top = bevel(distance, 0.9, 8.0)
    cone = 8.0 - np.maximum(r - np.float32(kind.radius * 0.98), 0) * np.float32(0.75)
    countersink = 8.0 - np.maximum(np.float32(kind.inner + 2.0) - r, 0) * np.float32(1.1)
    return distance, np.minimum(np.minimum(top, cone), countersink).astype(np.float32)


def _break(patch: Patch, kind: Kind, rng: np.random.Generator) -> Field:
    """Signed distance to what is left of a broken part: positive where a piece is gone."""
    jag = 0.9 * np.sin(patch.y * np.float32(2.3) + np.float32(rng.uniform(0, 6))) + 0.7 * np.sin(
        patch.y * np.float32(0.9) + np.float32(rng.uniform(0, 6))
    )
    if kind.length:
        where = rng.uniform(-0.08, 0.22) * kind.length
        gone: Field = patch.x - np.float32(where) + jag
        return gone
    # A wedge of a ring or nut is missing.
    turned = patch.moved(0, 0, rng.uniform(0, 6.28))
    opening = rng.uniform(0.35, 0.95)
    c, s = np.float32(np.cos(opening)), np.float32(np.sin(opening))
    wedge = np.minimum(turned.x * s - turned.y * c, turned.x * s + turned.y * c)
    missing: Field = wedge + 0.6 * jag
    return missing


def _rust(scene: Scene, patch: Patch, cover: Field, rng: np.random.Generator) -> None:
    """Brown, dull, rough areas on a part."""
    shape = (cover.shape[0], cover.shape[1])
    cells = max(patch.x.shape) / patch.unit / 6
    spread = smooth_noise(rng, shape, (cells, cells)) + np.float32(rng.uniform(0.4, 1.0))
    amount = np.clip(spread * 2, 0, 1) * cover * np.float32(0.9)
    grain = smooth_noise(rng, shape, (cells * 4, cells * 4))
    brown = np.array([0.27, 0.105, 0.035], np.float32)[:, None, None] * (1 + 0.35 * grain)
    scene.paint(patch, amount, colour=np.maximum(brown, 0.01), metal=0.05, raise_by=0.35 * grain)


def dirt(scene: Scene, x: float, y: float, rng: np.random.Generator) -> list[tuple[Patch, Field]]:
    """Something that fell into the tray: a lump of dirt with crumbs, or a smear of oil."""
    if rng.random() < 0.35:
        radius = rng.uniform(13, 24)
        patch = scene.patch(x, y, radius * 1.7)
        distance = circle(
            patch, np.float32(radius) * wobble(rng, np.arctan2(patch.y, patch.x), 0.2)
        )
        cover = patch.inside(distance, softness=2.0)
        scene.tint(patch, cover, (0.42, 0.34, 0.26))
        scene.paint(patch, cover, gloss=0.22, raise_by=bevel(distance, 4.0, 0.5))
        return [(patch, patch.inside(distance))]
    pieces: list[tuple[Patch, Field]] = []
    earth = np.array([0.085, 0.055, 0.03]) * rng.uniform(0.7, 1.8)
    for crumb in range(int(rng.integers(4, 11))):
        radius = rng.uniform(5, 10) if crumb == 0 else rng.uniform(0.9, 3)
        away = 0.0 if crumb == 0 else rng.uniform(5, 17)
        towards = rng.uniform(0, 6.28)
        patch = scene.patch(
            x + away * float(np.cos(towards)), y + away * float(np.sin(towards)), radius * 1.8 + 2
        )
        distance = circle(
            patch, np.float32(radius) * wobble(rng, np.arctan2(patch.y, patch.x), 0.25)
        )
        cover = patch.inside(distance)
        shape = (cover.shape[0], cover.shape[1])
        lumps = smooth_noise(rng, shape, (7, 7)) * np.float32(0.18 * radius)
        colour = earth[:, None, None] * (1 + 0.2 * smooth_noise(rng, shape, (8, 8)))
        scene.paint(
            patch,
            cover,
            colour=np.maximum(colour, 0.005).astype(np.float32),
            raise_by=bevel(distance, radius, radius * 0.7) + lumps,
            metal=0.0,
        )
        pieces.append((patch, cover))
    return pieces
