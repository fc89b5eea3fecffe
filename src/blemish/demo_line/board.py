"""Product ``board`` of the synthetic demo line: a populated circuit board."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from blemish.demo_line.bare_board import Slot, bare, half_extent, slots
from blemish.demo_line.components import PACKAGES, TIN, draw
from blemish.demo_line.scene import (
    Areas,
    Field,
    Patch,
    Pieces,
    Pose,
    Scene,
    bevel,
    box,
    circle,
    curve,
    polyline,
    smooth_noise,
    wobble,
)

LOGICAL = ("missing_component", "extra_component", "swapped_components", "misplaced_component")
STRUCTURAL = ("scratch", "burnt_component", "cracked_component", "solder_blob")

_SWAPS = (
    ("D1", "D2"), ("D2", "D3"), ("R3", "C5"), ("R6", "C8"), ("L1", "C2"), ("R1", "C3"),
    ("D1", "R2"),
)  # fmt: skip
_LOOSE = ("R", "C", "D", "L", "Y", "U2", "U3")  # references of what may be put down askew
_BRITTLE = ("resistor", "capacitor", "driver", "processor", "inductor", "diode")
_BURNABLE = (*_BRITTLE, "electrolytic", "led_red", "led_green", "led_yellow")


@dataclass(frozen=True)
class Mounted:
    """A component on its place, with its own deviation from it in units and rad."""

    slot: Slot
    kind: str
    shift: tuple[float, float]
    turn: float
    seed: int  # of its tolerance; its own, so that a component more or less changes no other


class _Board:
    """One board: where it lies and what is mounted."""

    def __init__(
        self, size: tuple[int, int], rng: np.random.Generator, fault: np.random.Generator
    ) -> None:
        self.size, self.rng, self.fault = size, rng, fault
        self.scene = Scene(size, (0.045, 0.045, 0.048))
        width, height = self.scene.extent
        x, y = width / 2 + rng.uniform(-3.2, 3.2), height / 2 + rng.uniform(-3.2, 3.2)
        self.pose = Pose(x, y, rng.normal(0, 0.009))
        self.slots = {slot.name: slot for slot in slots(size)}
        self.mounted = {
            name: Mounted(
                slot,
                slot.kind,
                (rng.normal(0, 0.45), rng.normal(0, 0.45)),
                rng.normal(0, 0.012),
                int(rng.integers(2**32)),
            )
            for name, slot in self.slots.items()
            if slot.populated
        }
        self.drawn: dict[str, tuple[Patch, Field]] = {}

    def at(self, slot: Slot, shift: tuple[float, float] = (0.0, 0.0), turn: float = 0.0) -> Pose:
        """The pose in the scene of a place, or of something beside it."""
        pose = self.pose.at(slot.x + shift[0], slot.y + shift[1], slot.angle)
        return pose._replace(angle=pose.angle + turn)

    def footprint(self, slot: Slot, kind: str) -> tuple[Patch, Field]:
        """The area where a component of ``kind`` is meant to be."""
        half_w, half_h = PACKAGES[kind].half
        x, y, angle = self.at(slot)
        patch = self.scene.patch(x, y, float(np.hypot(half_w, half_h)) + 3, angle)
        return patch, patch.inside(box(patch, half_w, half_h))

    def populate(self) -> None:
        """Solder everything on: tolerances, tone of each kind's lot, printed lot code."""
        rng = self.rng
        lot = {kind: rng.normal(1, 0.05) for kind in PACKAGES}
        code = f"{int(rng.integers(20, 27))}{int(rng.integers(1, 53)):02d}"
        for name, part in self.mounted.items():
            mark = part.slot.mark.replace("LOT", code)
            if part.kind != part.slot.kind:
                mark = {"resistor": "102", "inductor": "4R7", "electrolytic": "47"}.get(
                    part.kind, ""
                )
            self.drawn[name] = draw(
                self.scene, part.kind, self.at(part.slot, part.shift, part.turn),
                np.random.default_rng(part.seed),
                mark=mark, tone=lot[part.kind],
            )  # fmt: skip

    def pick(self, wanted: Callable[[Mounted], bool]) -> str:
        """One of the mounted components that fit; small ones as often as large ones."""
        kinds: dict[str, list[str]] = {}
        for name, part in self.mounted.items():
            if wanted(part):
                kinds.setdefault(part.kind.split("_")[0], []).append(name)
        names = list(kinds.values())[int(self.fault.integers(len(kinds)))]
        return names[int(self.fault.integers(len(names)))]


def _logical(board: _Board, defect: str) -> Pieces:
    """Change what is mounted; returns the area of what is wrong where it can be told before
    mounting.
    """
    rng, scene = board.fault, board.scene
    if defect == "missing_component":
        name = board.pick(lambda part: True)
        part = board.mounted.pop(name)
        return [board.footprint(part.slot, part.kind)]
    if defect == "extra_component":
        empty = [slot for slot in board.slots.values() if not slot.populated]
        slot = empty[int(rng.integers(len(empty)))]
        board.mounted[slot.name] = Mounted(slot, slot.kind, (0.0, 0.0), rng.normal(0, 0.01), 0)
        return [board.footprint(slot, slot.kind)]
    if defect == "swapped_components":
        first, second = _SWAPS[int(rng.integers(len(_SWAPS)))]
        a, b = board.mounted[first], board.mounted[second]
        board.mounted[first] = replace(a, kind=b.kind)
        board.mounted[second] = replace(b, kind=a.kind)
        return [board.footprint(part.slot, kind) for part in (a, b) for kind in {a.kind, b.kind}]
    name = board.pick(lambda part: part.slot.name.startswith(_LOOSE))
    part = board.mounted[name]
    half_w, half_h = PACKAGES[part.kind].half
    small = min(half_w, half_h)
    towards = rng.uniform(0, 6.2832)
    way = rng.uniform(0.5, 1.0) * min(small, 9.0)
    moved = replace(
        part,
        shift=(way * float(np.cos(towards)), way * float(np.sin(towards))),
        turn=float(rng.choice([-1, 1]) * rng.uniform(0.25, 0.9)),
    )
    board.mounted[name] = moved
    x, y, angle = board.at(part.slot, moved.shift, moved.turn)
    patch = scene.patch(x, y, float(np.hypot(half_w, half_h)) + 3, angle)
    # Where it is, and where it should be.
    return [
        board.footprint(part.slot, part.kind), (patch, patch.inside(box(patch, half_w, half_h)))
    ]  # fmt: skip


def _scratch(board: _Board) -> Pieces:
    """A groove through the solder mask down to bright copper. Drawn before mounting, so that
    components cover it; of several courses the one with the most bare board is taken.
    """
    rng, scene = board.fault, board.scene
    half_w, half_h = half_extent(board.size)
    centres = np.array([(s.x, s.y) for s in board.slots.values()])
    reach = np.array([np.hypot(*PACKAGES[s.kind].half) * 0.8 for s in board.slots.values()])
    best, best_free = None, -1.0
    for _ in range(14):
        length = rng.uniform(55, 150)
        start = (rng.uniform(-0.8, 0.8) * half_w, rng.uniform(-0.8, 0.8) * half_h)
        line = curve(rng, start, rng.uniform(0, 6.2832), length, bend=0.2)
        if (np.abs(line) > (half_w - 8, half_h - 8)).any():
            continue
        apart = np.hypot(*(line[:, None] - centres[None]).transpose(2, 0, 1))
        free = float((apart > reach).all(axis=1).mean()) * length**0.5
        if free > best_free:
            best, best_free = line, free
    if best is None:
        x = half_w * 0.9
        best = np.array([(-x, half_h * 0.62), (-x * 0.2, half_h * 0.6), (x * 0.5, half_h * 0.63)])
    width = rng.uniform(1.1, 2.4)
    patch = scene.everywhere(*board.pose)
    distance, along = polyline(patch, best)
    taper = np.float32(width) * (0.4 + 0.6 * np.sqrt(np.clip(4 * along * (1 - along), 0, 1)))
    cover = patch.inside(distance - taper * 0.5)
    bright = (0.52, 0.36, 0.22) if rng.random() < 0.5 else (0.40, 0.46, 0.36)
    scene.paint(patch, cover, colour=bright, raise_by=-0.4, metal=0.35)
    return [(patch, patch.inside(distance - taper * 0.5 - np.float32(0.3)))]


def _burnt(board: _Board) -> Pieces:
    """A component that ran hot: charred, with soot on the board around it."""
    rng, scene = board.fault, board.scene
    name = board.pick(lambda part: part.kind in _BURNABLE)
    part = board.mounted[name]
    half_w, half_h = PACKAGES[part.kind].half
    radius = float(np.clip(np.sqrt(half_w * half_h) * rng.uniform(0.9, 1.5), 9, 26))
    x, y, _ = board.at(
        part.slot, (float(rng.normal(0, 0.3) * half_w), float(rng.normal(0, 0.3) * half_h))
    )
    patch = scene.patch(x, y, radius * 2.2)
    away = np.hypot(patch.x, patch.y)
    edge = np.float32(radius) * wobble(rng, np.arctan2(patch.y, patch.x), 0.2)
    shape = (away.shape[0], away.shape[1])
    soot = np.clip(1.35 - away / edge + 0.12 * smooth_noise(rng, shape, (14, 14)), 0, 1)
    strength = np.float32(rng.uniform(0.8, 1.0))
    scene.tint(patch, strength * np.clip(soot * 1.5, 0, 1), (0.22, 0.15, 0.10))
    core = np.clip(soot * 3 - 1.6, 0, 1) * strength
    ash = 0.035 * np.clip(1 + 0.7 * smooth_noise(rng, shape, (20, 20)), 0.2, 3)
    scene.paint(
        patch, core * np.float32(0.85), colour=np.stack([ash * 1.15, ash, ash * 0.9]), metal=0.0,
        gloss=0.0, raise_by=0.35 * smooth_noise(rng, shape, (16, 16)),
    )  # fmt: skip
    return [(patch, (soot > 0.33).astype(np.float32))]


def _cracked(board: _Board) -> Pieces:
    """A component with a crack across, the pale inside showing, and often a chipped corner."""
    rng, scene = board.fault, board.scene
    name = board.pick(lambda part: part.kind in _BRITTLE)
    part = board.mounted[name]
    patch, _ = board.drawn[name]
    half_w, half_h = PACKAGES[part.kind].body or PACKAGES[part.kind].half
    body = patch.inside(box(patch, half_w, half_h))
    # From edge to edge, wandering.
    upright = bool(rng.random() < 0.5) or half_w > 1.4 * half_h
    t = np.linspace(-1.05, 1.05, 9)
    jag = rng.uniform(-0.35, 0.35) + 0.11 * rng.standard_normal(9).cumsum()
    jag = np.clip(jag, -0.8, 0.8)
    line = np.stack([jag * half_w, t * half_h] if upright else [t * half_w, jag * half_h], axis=1)
    distance, _ = polyline(patch, line)
    width = np.float32(np.clip(min(half_w, half_h) * 0.14, 1.3, 2.2) * rng.uniform(0.8, 1.25))
    crack = patch.inside(distance - width * 0.5) * body
    scene.paint(patch, crack, colour=(0.46, 0.44, 0.40), raise_by=-1.6, metal=0.0, gloss=0.0)
    pieces = [(patch, patch.inside(distance - width * 0.5 - np.float32(0.8)) * body)]
    little = min(half_w, half_h) < 9.0  # a crack alone would hardly show
    if little or rng.random() < 0.6:
        sx, sy = (float(rng.choice([-1, 1])) for _ in range(2))
        size = float(rng.uniform(1.1, 1.5) if little else rng.uniform(0.45, 0.8)) * min(
            half_w, half_h, 14.0
        )
        ragged = 0.6 * np.sin(patch.x * 2.1) + 0.5 * np.sin(patch.y * 1.7 + 1)
        edge = np.float32(half_w + half_h - size) - (patch.x * sx + patch.y * sy) + ragged
        chip = patch.inside(edge) * body
        scene.paint(
            patch, chip, colour=(0.30, 0.28, 0.25), metal=0.0, gloss=0.0,
            height=np.maximum(0.8, 3.0 + edge * 0.5),
        )  # fmt: skip
        pieces.append((patch, chip))
    return pieces


def _solder_blob(board: _Board) -> Pieces:
    """A splash of solder: across the pins of a chip, or anywhere on the board."""
    rng, scene = board.fault, board.scene
    chips = [p for p in board.mounted.values() if p.kind in ("processor", "driver")]
    half_w, half_h = half_extent(board.size)
    if chips and rng.random() < 0.55:
        part = chips[int(rng.integers(len(chips)))]
        pads = PACKAGES[part.kind].pads
        pad = pads[int(rng.integers(len(pads)))]
        c, s = np.cos(part.slot.angle), np.sin(part.slot.angle)
        shift = (float(c * pad[0] - s * pad[1]), float(s * pad[0] + c * pad[1]))
        x, y, _ = board.at(part.slot, shift)
        radius = rng.uniform(4.0, 8.0)
    else:
        x = board.pose.x + rng.uniform(-0.8, 0.8) * half_w
        y = board.pose.y + rng.uniform(-0.8, 0.8) * half_h
        radius = rng.uniform(3.5, 9.0)
    patch = scene.patch(x, y, radius * 2.6 + 4)
    edge = np.float32(radius) * wobble(rng, np.arctan2(patch.y, patch.x), 0.2)
    distance = circle(patch, edge)
    dome = bevel(distance, radius * 0.95, radius * 0.6)
    under = scene.height[patch.rows, patch.columns]
    base = np.float32(np.median(under)) * 0.5 + 0.5 * under
    scene.paint(patch, patch.inside(distance), colour=TIN, height=base + dome, metal=1.0, gloss=0.0)
    pieces = [(patch, patch.inside(distance))]
    for _ in range(int(rng.integers(0, 4))):
        towards, away = rng.uniform(0, 6.28), radius * rng.uniform(1.3, 1.9)
        ball = patch.moved(away * float(np.cos(towards)), away * float(np.sin(towards)))
        small = circle(ball, rng.uniform(1.2, 2.0))
        scene.paint(patch, patch.inside(small), colour=TIN, metal=1.0, height=under + 1.5)
        pieces.append((patch, patch.inside(small)))
    return pieces


def saturation(name: str) -> tuple[float, bool]:
    """Saturation threshold of a defect and whether it is relative, as in MVTec LOCO."""
    # Marking either the place or the part is enough for a misplaced component.
    return (0.5 if name == "misplaced_component" else 1.0), True


def render(
    size: tuple[int, int], rng: np.random.Generator, fault: np.random.Generator, defect: str | None
) -> tuple[Scene, Areas]:
    """The scene of one board, drawn from ``rng``, and its defects' areas, from ``fault``."""
    board = _Board(size, rng, fault)
    pieces: Pieces = []
    if defect in LOGICAL:
        pieces = _logical(board, defect)
    bare(board.scene, board.pose, rng)
    if defect == "scratch":
        pieces = _scratch(board)
    board.populate()
    if defect == "scratch":
        ((patch, groove),) = pieces
        for at, outline in board.drawn.values():
            groove[at.rows, at.columns] *= 1 - outline
        pieces = [(patch, groove)]
    elif defect == "burnt_component":
        pieces = _burnt(board)
    elif defect == "cracked_component":
        pieces = _cracked(board)
    elif defect == "solder_blob":
        pieces = _solder_blob(board)
    if defect is None:
        return board.scene, []
    return board.scene, [(defect, board.scene.mask(pieces))]
