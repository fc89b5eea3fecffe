"""The printed circuit board of the synthetic demo line before anything is mounted on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from blemish.demo_line.components import PACKAGES
from blemish.demo_line.scene import (
    SHORT_SIDE,
    SUPERSAMPLING,
    Colour,
    Field,
    Pose,
    Scene,
    smooth_noise,
    turned,
)

BOARD_HEIGHT = 3.0  # units over the table
_EDGE = 13.0  # units between the board and the picture's edge, at the nominal pose
_UP = float(np.pi / 2)
_BAND = 64  # rows coloured at a time, so that the arrays stay in the processor's cache

_MASK: Colour = (0.010, 0.062, 0.028)  # solder mask on bare laminate
_MASK_ON_COPPER: Colour = (0.020, 0.125, 0.050)
_PRINT: Colour = (0.60, 0.62, 0.58)
_SOLDER: Colour = (0.60, 0.59, 0.56)


@dataclass(frozen=True)
class Slot:
    """A place for a component, in units and rad from the board's centre."""

    name: str  # reference designator
    kind: str  # what belongs there, or would fit
    x: float
    y: float
    angle: float = 0.0
    mark: str = ""  # printed on the component; LOT stands for the lot's code
    populated: bool = True  # False for a footprint that stays empty on a good board


# Name, kind, place as a share of the board's half width and height, turn, print.
_LAYOUT: tuple[tuple[str, str, float, float, float, str], ...] = (
    ("J1", "header", -0.42, -0.85, 0.0, ""),
    ("D1", "led_red", 0.12, -0.84, _UP, ""),
    ("D2", "led_green", 0.26, -0.84, _UP, ""),
    ("D3", "led_yellow", 0.40, -0.84, _UP, ""),
    ("R1", "resistor", -0.47, -0.54, _UP, "103"),
    ("R2", "resistor", -0.33, -0.54, _UP, "472"),
    ("R3", "resistor", -0.19, -0.54, _UP, "103"),
    ("C5", "capacitor", -0.05, -0.54, _UP, ""),
    ("R4", "resistor", 0.09, -0.54, _UP, "221"),
    ("C1", "electrolytic", -0.78, -0.52, 0.0, "47"),
    ("C2", "electrolytic", -0.78, -0.26, 0.0, "47"),
    ("L1", "inductor", -0.78, 0.02, 0.0, "4R7"),
    ("SW1", "button", -0.77, 0.33, 0.0, ""),
    ("U1", "processor", -0.20, -0.10, 0.0, "BX32F4/DEMO-1/LOT"),
    ("C3", "capacitor", -0.58, -0.20, _UP, ""),
    ("C4", "capacitor", -0.58, 0.02, _UP, ""),
    ("Y1", "crystal", -0.24, 0.33, 0.0, "16.0"),
    ("C6", "capacitor", -0.48, 0.33, _UP, ""),
    ("C7", "capacitor", 0.01, 0.33, _UP, ""),
    ("U2", "driver", 0.46, -0.42, 0.0, "L293/LOT"),
    ("U3", "driver", 0.46, -0.02, 0.0, "T485/LOT"),
    ("R5", "resistor", 0.80, -0.56, 0.0, "102"),
    ("R6", "resistor", 0.80, -0.42, 0.0, "102"),
    ("C8", "capacitor", 0.80, -0.28, 0.0, ""),
    ("D4", "diode", 0.79, -0.10, 0.0, ""),
    ("R7", "resistor", 0.18, 0.05, 0.0, "330"),
    ("R8", "resistor", 0.18, 0.17, 0.0, "330"),
    ("J2", "socket", -0.32, 0.84, 0.0, ""),
    ("J3", "terminal", 0.32, 0.82, 0.0, ""),
    # Left empty on a good board.
    ("U4", "driver", 0.46, 0.38, 0.0, "L293/LOT"),
    ("C9", "capacitor", -0.55, 0.60, 0.0, ""),
    ("R9", "resistor", 0.80, 0.14, 0.0, "000"),
    ("C10", "electrolytic", 0.78, 0.42, 0.0, "47"),
)
_EMPTY = ("U4", "C9", "R9", "C10")


def half_extent(size: tuple[int, int]) -> tuple[float, float]:
    """Half the board's width and height, units."""
    short = min(size)
    return (SHORT_SIDE * size[1] / short / 2 - _EDGE, SHORT_SIDE * size[0] / short / 2 - _EDGE)


@lru_cache(maxsize=8)
def slots(size: tuple[int, int]) -> tuple[Slot, ...]:
    """All places of the board that fits a picture of ``size``."""
    half_w, half_h = half_extent(size)
    return tuple(
        Slot(name, kind, x * half_w, y * half_h, angle, mark, name not in _EMPTY)
        for name, kind, x, y, angle, mark in _LAYOUT
    )


class _Artwork:
    """The board's layers as pictures in its own frame, drawn once per size."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.scale = min(size) * SUPERSAMPLING / SHORT_SIDE
        self.margin = 10.0  # units around the board
        self.half_w, self.half_h = half_extent(size)
        width = int(2 * (self.half_w + self.margin) * self.scale) + 1
        height = int(2 * (self.half_h + self.margin) * self.scale) + 1
        self.copper = Image.new("L", (width, height))
        self.silk = Image.new("L", (width, height))
        self.tin = Image.new("L", (width, height))
        self.board = Image.new("L", (width, height))
        self._draw(slots(size))

    def _xy(self, x: float, y: float) -> tuple[float, float]:
        return (
            (x + self.half_w + self.margin) * self.scale,
            (y + self.half_h + self.margin) * self.scale,
        )

    def _corners(
        self, slot: Slot, pad: tuple[float, float, float, float], grow: float
    ) -> list[tuple[float, float]]:
        x, y, w, h = pad
        pose = Pose(slot.x, slot.y, slot.angle)
        corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        places = (pose.at(x + sx * (w + grow), y + sy * (h + grow)) for sx, sy in corners)
        return [self._xy(place.x, place.y) for place in places]

    def _disc(self, art: ImageDraw.ImageDraw, x: float, y: float, r: float, value: int) -> None:
        px, py = self._xy(x, y)
        k = r * self.scale
        art.ellipse((px - k, py - k, px + k, py + k), fill=value)

    def _draw(self, places: tuple[Slot, ...]) -> None:
        copper, silk = ImageDraw.Draw(self.copper), ImageDraw.Draw(self.silk)
        tin, board = ImageDraw.Draw(self.tin), ImageDraw.Draw(self.board)
        w, h = self.half_w, self.half_h
        k = self.scale
        board.rounded_rectangle((*self._xy(-w, -h), *self._xy(w, h)), radius=7 * k, fill=255)
        # A copper pour everywhere; traces and pads are kept clear of it.
        copper.rectangle((*self._xy(4 - w, 4 - h), *self._xy(w - 4, h - 4)), fill=190)
        courses, vias = _route(places, w, h)
        for course in courses:
            points = [self._xy(x, y) for x, y in course]
            copper.line(points, fill=0, width=round(6.2 * k), joint="curve")
        for x, y in vias:
            self._disc(copper, x, y, 4.6, 0)
        for slot in places:
            for pad in PACKAGES[slot.kind].pads:
                copper.polygon(self._corners(slot, pad, 2.2), fill=0)
        for course in courses:
            points = [self._xy(x, y) for x, y in course]
            copper.line(points, fill=255, width=max(1, round(2.3 * k)), joint="curve")
        for x, y in vias:
            self._disc(tin, x, y, 2.3, 200)
            self._disc(board, x, y, 0.9, 40)
        for slot in places:
            for pad in PACKAGES[slot.kind].pads:
                tin.polygon(self._corners(slot, pad, 0.0), fill=255)
            self._outline(silk, slot)
        for sx in (-1, 1):
            for sy in (-1, 1):
                x, y = sx * (w - 13), sy * (h - 13)
                self._disc(copper, x, y, 12.5, 0)
                self._disc(tin, x, y, 10.0, 255)
                self._disc(board, x, y, 6.0, 0)
        font = ImageFont.load_default(size=max(5.0, 7.5 * k))
        silk.text(self._xy(-0.66 * w, 0.475 * h), "SYNTHETIC DEMO  REV A", 220, font=font)

    def _outline(self, silk: ImageDraw.ImageDraw, slot: Slot) -> None:
        """The component's outline and name."""
        half_w, half_h = PACKAGES[slot.kind].half
        frame = self._corners(slot, (0.0, 0.0, half_w, half_h), 1.8)
        silk.line([*frame, frame[0]], fill=190, width=max(1, round(0.9 * self.scale)))
        turned = abs(np.sin(slot.angle)) > 0.5
        tall = half_w if turned else half_h
        font = ImageFont.load_default(size=max(4.0, 6.0 * self.scale))
        x, y = self._xy(slot.x, slot.y + tall + 5.0)
        silk.text((x, y), slot.name, fill=215, font=font, anchor="mm")


def _route(
    places: tuple[Slot, ...], half_w: float, half_h: float
) -> tuple[list[list[tuple[float, float]]], list[tuple[float, float]]]:
    """Traces that leave pads, turn by 45 degrees and end in a via, none crossing another."""
    rng = np.random.default_rng(7)  # part of the product's design, the same on every board
    w, h = int(2 * half_w) + 4, int(2 * half_h) + 4
    taken = Image.new("L", (w, h))
    art = ImageDraw.Draw(taken)
    pads = []
    for slot in places:
        for x, y, pw, ph in PACKAGES[slot.kind].pads:
            px, py, _ = Pose(slot.x, slot.y, slot.angle).at(x, y)
            out = float(np.arctan2(py - slot.y, px - slot.x))
            pads.append((px, py, out, max(pw, ph)))
            r = max(pw, ph) + 1.5
            ox, oy = px + half_w, py + half_h
            art.ellipse((ox - r, oy - r, ox + r, oy + r), fill=255)
    courses: list[list[tuple[float, float]]] = []
    vias: list[tuple[float, float]] = []
    for px, py, out, reach in pads:
        for _ in range(10):
            first = round(out / (np.pi / 4) + float(rng.integers(-1, 2))) * np.pi / 4
            second = first + float(rng.choice([-1, 0, 1])) * np.pi / 4
            third = second + float(rng.choice([-1, 0, 1])) * np.pi / 4
            course = [(px, py)]
            for heading, way in (
                (first, reach + rng.uniform(5, 22)),
                (second, rng.uniform(6, 40)),
                (third, rng.uniform(4, 30)),
            ):
                x, y = course[-1]
                course.append((x + way * float(np.cos(heading)), y + way * float(np.sin(heading))))
            if any(abs(x) > half_w - 8 or abs(y) > half_h - 8 for x, y in course):
                continue
            start = reach + 2.5  # the first steps cross the pad's own reserve
            lead = (px + start * float(np.cos(first)), py + start * float(np.sin(first)))
            trial = Image.new("L", (w, h))
            shifted = [(x + half_w, y + half_h) for x, y in [lead, *course[1:]]]
            ImageDraw.Draw(trial).line(shifted, fill=255, width=5)
            box = trial.getbbox()
            if box is None:
                continue
            crossing = np.asarray(trial.crop(box)) & np.asarray(taken.crop(box))
            if crossing.any():
                continue
            art.line(shifted, fill=255, width=6)
            ex, ey = shifted[-1]
            art.ellipse((ex - 5, ey - 5, ex + 5, ey + 5), fill=255)
            courses.append(course)
            vias.append(course[-1])
            break
    return courses, vias


@lru_cache(maxsize=4)
def _artwork(size: tuple[int, int]) -> _Artwork:
    return _Artwork(size)


def bare(scene: Scene, pose: Pose, rng: np.random.Generator) -> None:
    """Lay the bare board on the fixture at ``pose``."""
    art = _artwork(scene.size)
    h, w = scene.shape
    at = Pose(pose.x * scene.unit, pose.y * scene.unit, pose.angle)
    cx = (art.half_w + art.margin) * art.scale
    cy = (art.half_h + art.margin) * art.scale

    def layer(image: Image.Image, shift: tuple[float, float] = (0.0, 0.0)) -> Image.Image:
        centre = (cx + shift[0] * art.scale, cy + shift[1] * art.scale)
        return turned(image, (h, w), centre, at)

    shift = (rng.normal(0, 0.35), rng.normal(0, 0.35))
    # The print is registered on its own, never quite where the copper is.
    layers = (layer(art.copper), layer(art.tin), layer(art.board), layer(art.silk, shift))
    solid = rng.uniform(0.8, 0.95)  # how well the print covers
    tone, blue = rng.normal(1, 0.05), rng.normal(1, 0.05)
    cloud = 1 + np.float32(0.05) * smooth_noise(rng, (h, w), (6, 6))
    grain = 1 + np.float32(0.06) * smooth_noise(rng, (h, w), (h / 3, w / 3))
    scene.colour *= grain
    for top in range(0, h, _BAND):
        rows = slice(top, top + _BAND)
        copper, tin, board, silk = (_share(image, rows) for image in layers)
        silk *= (1 - tin) * np.float32(solid)
        for channel, gain in enumerate((tone, tone, tone * blue)):
            under, over = gain * _MASK[channel], gain * _MASK_ON_COPPER[channel]
            colour = np.float32(under) + np.float32(over - under) * copper
            colour *= cloud[rows]
            colour += silk * (np.float32(_PRINT[channel]) - colour)
            colour += tin * (np.float32(_SOLDER[channel]) - colour)
            plane = scene.colour[channel, rows]
            colour -= plane
            colour *= board
            plane += colour
        scene.metal[rows] = tin * board * (tin > 0.5) * np.float32(0.8)
        scene.gloss[rows] = np.float32(0.055) * (1 - tin) * board
        relief = np.float32(BOARD_HEIGHT) + np.float32(0.22) * copper + np.float32(0.35) * tin
        scene.height[rows] = board * relief


def _share(image: Image.Image, rows: slice) -> Field:
    """Rows of a layer as coverage in [0, 1]."""
    band = image.crop((0, rows.start, image.width, min(rows.stop, image.height)))
    cover: Field = np.asarray(band, dtype=np.float32) * np.float32(1 / 255)
    return cover
