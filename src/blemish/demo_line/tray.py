"""Product ``tray`` of the synthetic demo line: a sorting tray with counted parts.

Four compartments hold four long screws, five short screws, five washers and six nuts. The parts
lie anywhere in their compartment, so no two good trays look alike; what makes a tray good is the
count, kind and place of its parts.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.demo_line.hardware import KINDS, Part, dirt, draw
from blemish.demo_line.scene import (
    SHORT_SIDE,
    Areas,
    Field,
    Patch,
    Pose,
    Scene,
    box,
    smooth_noise,
    turned,
)

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in units from the tray's centre."""

COUNTS = {"long_screw": 4, "short_screw": 5, "washer": 5, "nut": 6}
"""Parts of a good tray, by compartment."""

_WRONG_KINDS = {
    "long_screw": ("pin", "black_screw"),
    "short_screw": ("black_screw", "nut"),
    "washer": ("large_washer", "square_nut"),
    "nut": ("square_nut", "washer"),
}
_BENDABLE = ("long_screw", "short_screw", "washer")
_WALL = 12.0  # height of the walls, units
_DIVIDER = 4.0  # half its thickness, units

LOGICAL = (
    "missing_washer",
    "extra_nut",
    "wrong_compartment",
    "wrong_kind",
    "missing_long_screw",
    "extra_short_screw",
    "missing_nut",
    "extra_washer",
    "missing_short_screw",
    "extra_long_screw",
)
STRUCTURAL = ("bent_part", "rusty_part", "broken_part", "dirt")


def compartments(size: tuple[int, int]) -> dict[str, Box]:
    """The inner area of every compartment, by the kind of part it is for."""
    short = min(size)
    half_w, half_h = (SHORT_SIDE * side / short / 2 - 15 for side in (size[1], size[0]))
    split_x, split_y = 0.09 * half_w, 0.05 * half_h
    d = _DIVIDER
    return {
        "long_screw": (-half_w, -half_h, split_x - d, split_y - d),
        "washer": (split_x + d, -half_h, half_w, split_y - d),
        "nut": (-half_w, split_y + d, split_x - d, half_h),
        "short_screw": (split_x + d, split_y + d, half_w, half_h),
    }


def part_area(kind: str, size: tuple[int, int]) -> int:
    """Pixels that one part of a kind covers in a picture of ``size``, at nominal dimensions."""
    scene = Scene((96, 96))
    centre = scene.extent[0] / 2
    _, cover = draw(scene, Part(kind, 0, 0, 0), (centre, centre, 0.3), np.random.default_rng(0))
    units = float(cover.sum()) / scene.unit**2
    return max(1, round(units * (min(size) / SHORT_SIDE) ** 2))


@lru_cache(maxsize=4)
def _mould(size: tuple[int, int]) -> tuple[Field, int]:
    """Elevation of the empty tray in its own frame, with a margin for turning it."""
    scene = Scene(size)
    u = scene.unit
    margin = int(np.ceil(16 * u))
    h, w = scene.shape[0] + 2 * margin, scene.shape[1] + 2 * margin
    y = ((np.arange(h, dtype=np.float32) + 0.5 - h / 2) / u)[:, None]
    x = ((np.arange(w, dtype=np.float32) + 0.5 - w / 2) / u)[None, :]
    patch = Patch(
        slice(0, h), slice(0, w), np.broadcast_to(x, (h, w)), np.broadcast_to(y, (h, w)), u
    )
    outside = np.full((h, w), np.inf, np.float32)
    for left, top, right, bottom in compartments(size).values():
        at = patch.moved((left + right) / 2, (top + bottom) / 2)
        outside = np.minimum(outside, box(at, (right - left) / 2, (bottom - top) / 2, corner=9.0))
    t = np.clip((outside + np.float32(2.5)) / np.float32(5.5), 0, 1)
    return np.float32(_WALL) * t * t * (3 - 2 * t), margin


class _Tray:
    """One tray: where it stands and what lies in it."""

    def __init__(self, size: tuple[int, int], rng: np.random.Generator) -> None:
        self.size = size
        self.rng = rng
        self.boxes = compartments(size)
        self.scene = Scene(size)
        width, height = self.scene.extent
        x, y = width / 2 + rng.uniform(-3.5, 3.5), height / 2 + rng.uniform(-3.5, 3.5)
        self.pose = Pose(x, y, rng.normal(0, 0.010))
        self.parts: list[tuple[str, Part]] = []  # (compartment, part)

    def fill(self, contents: dict[str, list[str]]) -> None:
        """Drop kinds of parts into their compartments."""
        tones = {kind: self.rng.normal(1, 0.03) for kind in KINDS}  # of the day's lot
        for compartment, kinds in contents.items():
            # Its own source, so that a change in one compartment leaves the others alone.
            rng = np.random.default_rng(int(self.rng.integers(2**63)))
            for part in _scatter(self.boxes[compartment], kinds, rng):
                varied = replace(
                    part, size=rng.normal(1, 0.010), tone=tones[part.kind] * rng.normal(1, 0.045)
                )
                self.parts.append((compartment, varied))

    def mould(self) -> None:
        """The empty tray of plastic: walls, grain, tone of the lot."""
        rng, scene = self.rng, self.scene
        elevation, margin = _mould(self.size)
        h, w = scene.shape
        pose = Pose(self.pose.x * scene.unit, self.pose.y * scene.unit, self.pose.angle)
        centre = (w / 2 + margin, h / 2 + margin)
        image = turned(Image.fromarray(elevation), scene.shape, centre, pose)
        scene.height = np.array(image, dtype=np.float32)
        grain = smooth_noise(rng, scene.shape, (h / scene.unit / 1.6, w / scene.unit / 1.6))
        scene.height += np.float32(0.045) * grain
        wear = 1 + np.float32(0.035) * smooth_noise(rng, scene.shape, (5, 5))
        wear += np.float32(0.02) * grain
        tone = rng.normal(1, 0.03)
        for channel, value in enumerate((0.070, 0.135, 0.215)):
            scene.colour[channel] = np.float32(value * tone) * wear
        scene.gloss[:] = 0.035

    def area(self, compartment: str) -> NDArray[np.bool_]:
        """The pixels of a compartment."""
        left, top, right, bottom = self.boxes[compartment]
        at = self.scene.everywhere(*self.pose).moved((left + right) / 2, (top + bottom) / 2)
        inside = at.inside(box(at, (right - left) / 2, (bottom - top) / 2, corner=9.0))
        mask: NDArray[np.bool_] = self.scene.mask([(at, inside)], share=0.5)
        return mask


def _scatter(where: Box, kinds: list[str], rng: np.random.Generator) -> list[Part]:
    """Random places and turns in a compartment, without overlap."""
    order = sorted(kinds, key=lambda kind: -KINDS[kind].reach)  # the large ones need room first
    left, top, right, bottom = where
    gap = 1.6
    for _ in range(60):
        taken = np.zeros((0, 3))  # x, y, radius
        parts: list[Part] = []
        for name in order:
            discs = np.array(KINDS[name].discs())  # (D, 2)
            for _ in range(160):
                angle = rng.uniform(0, 2 * np.pi)
                x, y = rng.uniform(left, right), rng.uniform(top, bottom)
                at = np.stack(
                    [x + discs[:, 0] * np.cos(angle), y + discs[:, 0] * np.sin(angle), discs[:, 1]],
                    axis=1,
                )  # (D, 3)
                reach = at[:, 2] + gap + 1.5
                if (
                    (at[:, 0] - reach < left).any()
                    or (at[:, 0] + reach > right).any()
                    or (at[:, 1] - reach < top).any()
                    or (at[:, 1] + reach > bottom).any()
                ):
                    continue
                apart = np.hypot(
                    at[:, None, 0] - taken[None, :, 0], at[:, None, 1] - taken[None, :, 1]
                )
                if (apart < at[:, None, 2] + taken[None, :, 2] + gap).any():
                    continue
                taken = np.concatenate([taken, at])
                parts.append(Part(name, x, y, angle))
                break
            else:
                break
        if len(parts) == len(order):
            return parts
    raise RuntimeError(f"no room for {kinds} in a compartment of {where}")


def saturation(name: str, size: tuple[int, int]) -> tuple[float, bool]:
    """Saturation threshold of a defect and whether it is relative, as in MVTec LOCO."""
    for prefix in ("missing_", "extra_"):
        if name.startswith(prefix):
            return float(part_area(name.removeprefix(prefix), size)), False
    return 1.0, True


def render(
    size: tuple[int, int], rng: np.random.Generator, fault: np.random.Generator, defect: str | None
) -> tuple[Scene, Areas]:
    """The scene of one tray, drawn from ``rng``, and its defects' areas, from ``fault``."""
    contents = {compartment: [compartment] * count for compartment, count in COUNTS.items()}
    names = tuple(COUNTS)
    chosen = names[int(fault.integers(len(names)))]
    absent: str | None = None
    intruder: str | None = None
    if defect is not None and defect.startswith("missing_"):
        contents[defect.removeprefix("missing_")].pop()
    elif defect is not None and defect.startswith("extra_"):
        kind = defect.removeprefix("extra_")
        contents[kind].append(kind)
    elif defect == "wrong_compartment":
        others = [n for n in names if n != chosen]
        host = others[int(fault.integers(len(others)))]
        absent, intruder = chosen, chosen
        contents[chosen].pop()
        contents[host].append(chosen)
        chosen = host
    elif defect == "wrong_kind":
        intruder = str(fault.choice(_WRONG_KINDS[chosen]))
        contents[chosen][-1] = intruder
    tray = _Tray(size, rng)
    tray.mould()
    tray.fill(contents)
    victim = -1
    if defect in ("bent_part", "rusty_part", "broken_part"):
        able = list(range(len(tray.parts)))
        if defect == "bent_part":
            able = [i for i in able if tray.parts[i][1].kind in _BENDABLE]
        victim = able[int(fault.integers(len(able)))]
        compartment, part = tray.parts[victim]
        damage = defect.removesuffix("_part")
        tray.parts[victim] = (compartment, replace(part, damage=damage))
    areas: Areas = []
    for i, (compartment, part) in enumerate(tray.parts):
        at = tray.pose.at(part.x, part.y, part.angle)
        piece = draw(tray.scene, part, at, fault)
        if defect is None:
            continue
        foreign = intruder == part.kind and compartment == chosen
        if i == victim or foreign:
            pieces = [piece]
            if part.damage in ("broken", "bent"):
                # What should be there and is not belongs to the defect too.
                whole = draw(Scene(size), replace(part, damage=None), at, fault)
                pieces.append(whole)
            areas.append((defect, tray.scene.mask(pieces)))
    if defect == "dirt":
        left, top, right, bottom = tray.boxes[chosen]
        across, down = fault.uniform(left + 25, right - 25), fault.uniform(top + 25, bottom - 25)
        x, y, _ = tray.pose.at(across, down)
        areas.append((defect, tray.scene.mask(dirt(tray.scene, x, y, fault))))
    if absent is not None:
        areas.append((f"missing_{absent}", tray.area(absent)))
    elif defect is not None and defect.startswith(("missing_", "extra_")):
        areas.append((defect, tray.area(defect.split("_", 1)[1])))
    return tray.scene, areas
