"""Electronic components of the synthetic board, as a camera sees them from above."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from blemish.demo_line.scene import Colour, Field, Patch, Scene, bevel, box, circle

Pad = tuple[float, float, float, float]
"""Centre x and y, half width, half height, in units from the component's centre."""

TIN: Colour = (0.60, 0.60, 0.59)
_INK: Colour = (0.42, 0.42, 0.40)
_GOLD: Colour = (0.70, 0.52, 0.20)
_STEEL: Colour = (0.60, 0.60, 0.59)
_PLASTIC: Colour = (0.022, 0.022, 0.024)
_LED_COLOURS: dict[str, Colour] = {
    "led_red": (0.55, 0.035, 0.03),
    "led_green": (0.06, 0.42, 0.09),
    "led_yellow": (0.62, 0.42, 0.03),
}


@dataclass(frozen=True)
class Package:
    """A kind of component: half its width and height, its pads, half its body if smaller."""

    half: tuple[float, float]
    pads: tuple[Pad, ...]
    body: tuple[float, float] | None = None


def _chip(half_w: float, half_h: float) -> Package:
    return Package(
        (half_w, half_h), tuple((s * (half_w - 0.6), 0.0, 3.3, half_h + 0.9) for s in (-1.0, 1.0))
    )


def _rows(count: int, pitch: float, reach: float, *, sides: int) -> tuple[Pad, ...]:
    """Pads along two or four sides."""
    pads = []
    for i in range(count):
        along = (i - (count - 1) / 2) * pitch
        for sign in (-1.0, 1.0):
            pads.append((along, sign * reach, pitch * 0.27, 3.4))
            if sides == 4:
                pads.append((sign * reach, along, 3.4, pitch * 0.27))
    return tuple(pads)


PACKAGES: dict[str, Package] = {
    "resistor": _chip(8.0, 4.3),
    "capacitor": _chip(8.0, 4.5),
    **dict.fromkeys(_LED_COLOURS, _chip(8.0, 4.8)),
    "diode": _chip(11.5, 5.8),
    "driver": Package((16.0, 17.0), _rows(4, 7.4, 15.0, sides=2), (15.0, 12.4)),
    "processor": Package((37.0, 37.0), _rows(12, 4.6, 34.5, sides=4), (31.0, 31.0)),
    "electrolytic": Package((15.0, 15.0), ((-13.0, 0.0, 5.0, 3.0), (13.0, 0.0, 5.0, 3.0))),
    "inductor": Package((14.0, 14.0), ((-12.0, 0.0, 4.5, 6.0), (12.0, 0.0, 4.5, 6.0))),
    "crystal": Package((19.0, 8.0), ((-11.0, 0.0, 4.0, 3.0), (11.0, 0.0, 4.0, 3.0))),
    "button": Package((14.5, 12.5), _rows(2, 20.0, 12.5, sides=2)),
    "header": Package((43.0, 13.0), tuple((x * 12.0, 0.0, 4.0, 4.0) for x in range(-3, 4))),
    "terminal": Package((34.0, 17.0), tuple((x * 21.0, 0.0, 6.0, 6.0) for x in (-1, 0, 1))),
    "socket": Package((22.0, 16.0), tuple((x * 5.0, -16.0, 1.4, 3.5) for x in range(-2, 3))),
}


class Mount:
    """A component being drawn at one place of a scene: ``outline`` is what was drawn so far.

    ``at`` is x, y (units) and turn (rad) of its centre, ``half`` half its width and height, and
    ``tone`` a factor on the brightness of all its materials.
    """

    def __init__(
        self,
        scene: Scene,
        at: tuple[float, float, float],
        half: tuple[float, float],
        *,
        tone: float,
    ) -> None:
        self.scene, self.tone = scene, tone
        self.patch = scene.patch(at[0], at[1], float(np.hypot(*half)) + 4, at[2])
        self.outline: Field = np.zeros_like(self.patch.x)

    def _lay(
        self, patch: Patch, distance: Field, colour: Colour, height: Field, metal: float,
        gloss: float,
    ) -> None:  # fmt: skip
        cover = patch.inside(distance)
        shade = (colour[0] * self.tone, colour[1] * self.tone, colour[2] * self.tone)
        self.scene.paint(patch, cover, colour=shade, height=height, metal=metal, gloss=gloss)
        top = patch.rows.start - self.patch.rows.start
        left = patch.columns.start - self.patch.columns.start
        window = self.outline[top : top + cover.shape[0], left : left + cover.shape[1]]
        np.maximum(window, cover, out=window)

    def slab(
        self, half_w: float, half_h: float, colour: Colour, tall: float, *,
        corner: float = 1.0, edge: float = 1.2, metal: float = 0.0, gloss: float = 0.05,
        x: float = 0.0, y: float = 0.0,
    ) -> None:  # fmt: skip
        """A block with rounded corners, its top ``tall`` units up, rounded over ``edge``."""
        patch = self.patch.around(x, y, float(np.hypot(half_w, half_h)) + 0.6)
        distance = box(patch, half_w, half_h, corner=corner)
        self._lay(patch, distance, colour, bevel(distance, edge, tall), metal, gloss)

    def disc(
        self, radius: float, colour: Colour, low: float, tall: float, *,
        edge: float = 1.5, metal: float = 0.0, gloss: float = 0.05, x: float = 0.0, y: float = 0.0,
    ) -> None:  # fmt: skip
        """A cylinder from ``low`` to ``tall`` units up; a sink where ``tall`` is the lower."""
        patch = self.patch.around(x, y, radius + 0.6)
        distance = circle(patch, radius)
        self._lay(
            patch, distance, colour, low + bevel(distance, edge, tall - low), metal, gloss
        )  # fmt: skip

    def pins(self, count: int, pitch: float, reach: float, *, sides: int) -> None:
        """An even ``count`` of pins on each of two or four sides, centred at ``reach``."""
        # One pin stands for its whole row: the row's coordinate is folded onto it.
        p = self.patch
        rows = []
        for along, across in ((p.x, p.y), (p.y, p.x))[: sides // 2]:
            cell = np.clip(np.floor(along / np.float32(pitch)), -count // 2, count // 2 - 1)
            folded = along - np.float32(pitch) * (cell + np.float32(0.5))
            pin = Patch(p.rows, p.columns, folded, np.abs(across) - np.float32(reach), p.unit)
            rows.append(box(pin, pitch * 0.25, 2.9, corner=0.4))
        distance = rows[0] if sides == 2 else np.minimum(rows[0], rows[1])
        self._lay(p, distance, TIN, bevel(distance, 0.9, 2.0), 1.0, 0.05)

    def text(
        self, text: str, tall: float, *, at: tuple[float, float] = (0.0, 0.0), colour: Colour = _INK
    ) -> None:
        """Print ``text`` with letters ``tall`` units high, centred at local ``at``."""
        if not text:
            return
        letters = _letters(text)
        rows, columns = letters.shape
        patch = self.patch.around(*at, tall * (columns / rows + 1) / 2 + 1)
        # Area-average to the scene's resolution first: tiny print must blur, not alias.
        zoom = tall * patch.unit / rows
        if zoom < 1:
            small = (max(2, round(columns * zoom)), max(2, round(rows * zoom)))
            letters = np.asarray(Image.fromarray(letters).resize(small, Image.Resampling.BOX))
            rows, columns = letters.shape
        scale = np.float32(rows / tall)
        cover = _sample(
            letters,
            patch.y * scale + np.float32(rows / 2 - 0.5),
            patch.x * scale + np.float32(columns / 2 - 0.5),
        )
        self.scene.paint(patch, cover * np.float32(0.85), colour=colour)


@lru_cache(maxsize=512)
def _letters(text: str) -> Field:
    """``text`` as coverage, letters about 24 rows high."""
    font = ImageFont.load_default(size=26)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(image).text((2 - left, 2 - top), text, fill=255, font=font)
    letters: Field = np.asarray(image, dtype=np.float32) / np.float32(255)
    return letters


def _sample(page: Field, row: Field, column: Field) -> Field:
    """``page`` at fractional positions, bilinear, 0 outside."""
    rows, columns = page.shape
    top, left = np.floor(row).astype(np.int32), np.floor(column).astype(np.int32)
    down, right = row - top, column - left
    padded = np.pad(page, 1)

    def pick(r: NDArray[Any], c: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = padded[np.clip(r + 1, 0, rows + 1), np.clip(c + 1, 0, columns + 1)]
        return found

    upper = pick(top, left) * (1 - right) + pick(top, left + 1) * right
    lower = pick(top + 1, left) * (1 - right) + pick(top + 1, left + 1) * right
    value: Field = (upper * (1 - down) + lower * down).astype(np.float32)
    return value


def draw(
    scene: Scene,
    kind: str,
    at: tuple[float, float, float],
    rng: np.random.Generator,
    *,
    mark: str = "",
    tone: float = 1.0,
) -> tuple[Patch, Field]:
    """Mount a component of :data:`PACKAGES` at x, y (units) and turn (rad), and outline it.

    ``mark`` is printed on it, a slash begins a new line; ``tone`` is the brightness of its lot.
    """
    mount = Mount(scene, at, PACKAGES[kind].half, tone=tone * rng.normal(1, 0.04))
    _DRAWN[kind](mount, kind, mark, rng)
    return mount.patch, mount.outline


def _two_terminal(m: Mount, kind: str, mark: str, rng: np.random.Generator) -> None:
    """A ceramic block between two soldered ends: resistor, capacitor or LED."""
    half_w, half_h = PACKAGES[kind].half
    for side in (-1, 1):  # solder fillets climb the ends
        m.slab(2.6, half_h - 0.3, TIN, 2.6, x=side * (half_w - 1.6), corner=1.6, metal=1.0, edge=3)
    m.slab(half_w - 0.6, half_h - 0.4, (0.62, 0.62, 0.60), 3.8, metal=0.85, corner=0.6)
    colours: dict[str, Colour] = {
        "resistor": (0.028, 0.028, 0.032),
        "capacitor": (0.40, 0.27, 0.15),
    }
    colour = colours.get(kind, (0.66, 0.65, 0.60))
    m.slab(half_w - 3.0, half_h - 0.2, colour, 4.0, corner=0.4, edge=0.8)
    if kind in _LED_COLOURS:
        m.disc(3.6, _LED_COLOURS[kind], 4.0, 6.4, edge=3.6, gloss=0.5)
    elif kind == "resistor":
        m.text(mark, 4.4)


def _diode(m: Mount, kind: str, mark: str, rng: np.random.Generator) -> None:
    half_w, half_h = PACKAGES[kind].half
    m.slab(half_w, 3.2, TIN, 1.6, metal=1.0)
    m.slab(half_w - 2.5, half_h, _PLASTIC, 5.0, edge=2.0)
    m.slab(1.3, half_h - 0.8, (0.5, 0.5, 0.48), 5.0, x=-5.5, edge=0.3)


def _chip_carrier(m: Mount, kind: str, mark: str, rng: np.random.Generator) -> None:
    """An integrated circuit: black body, pins on two or four sides, dimple, print."""
    large = kind == "processor"
    if large:
        m.pins(12, 4.6, 34.5, sides=4)
    else:
        m.pins(4, 7.4, 14.5, sides=2)
    w, h = PACKAGES[kind].body or PACKAGES[kind].half
    m.slab(w, h, _PLASTIC, 6.0, edge=1.6)
    m.disc(
        2.0 if large else 1.5, (0.045, 0.045, 0.045), 5.6, 5.2, edge=0.8,
        x=5.0 - w, y=h - (5.0 if large else 4.0),
    )  # fmt: skip
    lines = mark.split("/")
    tall = 6.2 if large else 4.2
    for i, line in enumerate(lines):
        m.text(line, tall, at=(0.0, (i - (len(lines) - 1) / 2) * tall * 1.5))


def _electrolytic(m: Mount, kind: str, mark: str, rng: np.random.Generator) -> None:
    m.slab(PACKAGES[kind].half[0], 3.0, TIN, 1.5, metal=1.0)
    m.slab(13.6, 13.6, _PLASTIC, 4.0, corner=3.5)
    m.disc(12.6, (0.62, 0.62, 0.63), 4.0, 12.0, edge=2.6, metal=0.9)
    stripe = np.maximum(circle(m.patch, 10.8), m.patch.x + np.float32(5.0))
    m.scene.paint(m.patch, m.patch.inside(stripe), colour=_PLASTIC, metal=0.0)
    m.text(mark, 5.0, at=(2.4, 0.0), colour=(0.02, 0.02, 0.02))


def _inductor(m: Mount, kind: str, mark: str, rng: np.random.Generator) -> None:
    half = PACKAGES[kind].half[0]
    m.slab(half, half, (0.085, 0.083, 0.085), 7.0, corner=2.5, edge=2.2)
    ring = np.abs(circle(m.patch, 9.6)) - np.float32(1.0)
    m.scene.paint(m.patch, m.patch.inside(ring, softness=1.2), raise_by=-0.9)
    m.text(mark, 6.4)


def _crystal(m: Mount, kind: str, mark: str, rng: np.random.Generator) -> None:
    w, h = PACKAGES[kind].half
    m.slab(w, h, (0.58, 0.58, 0.57), 2.0, corner=h - 0.1, metal=1.0, edge=1.0)
    m.slab(w - 1.6, h - 1.6, _STEEL, 7.5, corner=h - 1.8, metal=1.0, edge=2.2)
    m.text(mark, 4.8, colour=(0.06, 0.06, 0.06))


def _button(m: Mount, kind: str, mark: str, rng: np.random.Generator) -> None:
    for x, y, w, h in _rows(2, 20.0, 11.5, sides=2):
        m.slab(w * 0.35, h * 0.8, TIN, 1.8, x=x, y=y, metal=1.0)
    m.slab(12.5, 11.0, (0.56, 0.56, 0.55), 5.0, metal=0.95, corner=1.2)
    m.disc(6.2, (0.03, 0.03, 0.032), 5.0, 9.5, edge=1.6, gloss=0.12)


def _header(m: Mount, kind: str, mark: str, rng: np.random.Generator) -> None:
    w, h = PACKAGES[kind].half
    m.slab(w, h, (0.58, 0.56, 0.48), 9.0, corner=1.5, edge=1.4)
    m.slab(w - 3, h - 3, (0.34, 0.33, 0.28), 4.0, corner=0.8, edge=0.5)
    for i in range(-3, 4):
        m.slab(1.5, 1.5, _GOLD, 8.0, x=i * 11.4, metal=1.0, edge=1.3, corner=0.4)


def _terminal(m: Mount, kind: str, mark: str, rng: np.random.Generator) -> None:
    w, h = PACKAGES[kind].half
    m.slab(w, h, (0.015, 0.13, 0.27), 12.0, corner=1.2, edge=1.8, gloss=0.10)
    for x in (-21.0, 0.0, 21.0):
        m.disc(7.6, (0.010, 0.05, 0.10), 10.0, 7.0, edge=1.0, x=x)
        m.disc(6.2, (0.60, 0.60, 0.58), 7.0, 9.0, edge=1.6, metal=1.0, x=x)
        # Each screw was tightened to its own angle.
        slot = m.patch.around(x, 0.0, 7.0).moved(0.0, 0.0, rng.uniform(0, np.pi))
        groove = slot.inside(box(slot, 5.6, 1.0))
        m.scene.paint(slot, groove, raise_by=-2.0, colour=(0.15, 0.15, 0.15))


def _socket(m: Mount, kind: str, mark: str, rng: np.random.Generator) -> None:
    w, h = PACKAGES[kind].half
    for x, _, pin, _ in PACKAGES[kind].pads:
        m.slab(pin * 0.7, 3.0, TIN, 1.5, x=x, y=-15.5, metal=1.0, edge=0.7)
    m.slab(w, h - 2, _STEEL, 9.0, corner=1.6, edge=2.0, metal=1.0, y=1.0)
    for x in (-10.0, 10.0):
        m.slab(1.6, 4.6, (0.12, 0.12, 0.12), 8.0, x=x, y=3.0, corner=0.8, metal=0.4)


_DRAWN: dict[str, Callable[[Mount, str, str, np.random.Generator], None]] = {
    **dict.fromkeys(("resistor", "capacitor", *_LED_COLOURS), _two_terminal),
    **dict.fromkeys(("driver", "processor"), _chip_carrier),
    "diode": _diode,
    "electrolytic": _electrolytic,
    "inductor": _inductor,
    "crystal": _crystal,
    "button": _button,
    "header": _header,
    "terminal": _terminal,
    "socket": _socket,
}
