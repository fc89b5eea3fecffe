"""Electronic components of the synthetic demo line, as a camera sees them from above."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from blemish.data.demo.noise import Field
from blemish.data.demo.scene import Colour, Patch, Scene, bevel, box, circle

TIN: Colour = (0.60, 0.60, 0.59)
GOLD: Colour = (0.70, 0.52, 0.20)
_PLASTIC: Colour = (0.022, 0.022, 0.024)
_INK: Colour = (0.42, 0.42, 0.40)
_LED_COLOURS: dict[str, Colour] = {
    "led_red": (0.55, 0.035, 0.03),
    "led_green": (0.06, 0.42, 0.09),
    "led_yellow": (0.62, 0.42, 0.03),
}


@dataclass(frozen=True)
class Package:
    """A kind of component.

    Attributes:
        half: Half its width and height, pins included, units.
        pads: Solder pads as ``x, y, half width, half height``, units.
    """

    half: tuple[float, float]
    pads: tuple[tuple[float, float, float, float], ...]


def _chip(half_w: float, half_h: float) -> Package:
    return Package(
        (half_w, half_h), tuple((s * (half_w - 0.6), 0.0, 3.3, half_h + 0.9) for s in (-1.0, 1.0))
    )


def _rows(
    count: int, pitch: float, reach: float, *, sides: int
) -> tuple[tuple[float, float, float, float], ...]:
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
    "led_red": _chip(8.0, 4.8),
    "led_green": _chip(8.0, 4.8),
    "led_yellow": _chip(8.0, 4.8),
    "diode": _chip(11.5, 5.8),
    "driver": Package((16.0, 17.0), _rows(4, 7.4, 15.0, sides=2)),
    "processor": Package((37.0, 37.0), _rows(12, 4.6, 34.5, sides=4)),
    "electrolytic": Package((15.0, 15.0), ((-13.0, 0.0, 5.0, 3.0), (13.0, 0.0, 5.0, 3.0))),
    "inductor": Package((14.0, 14.0), ((-12.0, 0.0, 4.5, 6.0), (12.0, 0.0, 4.5, 6.0))),
    "crystal": Package((19.0, 8.0), ((-11.0, 0.0, 4.0, 3.0), (11.0, 0.0, 4.0, 3.0))),
    "button": Package((14.5, 12.5), _rows(2, 20.0, 12.5, sides=2)),
    "header": Package((43.0, 13.0), tuple((x * 12.0, 0.0, 4.0, 4.0) for x in range(-3, 4))),
    "terminal": Package((34.0, 17.0), tuple((x * 21.0, 0.0, 6.0, 6.0) for x in (-1, 0, 1))),
    "socket": Package((22.0, 16.0), tuple((x * 5.0, -16.0, 1.4, 3.5) for x in range(-2, 3))),
}


def _pins(patch: Patch, count: int, pitch: float, reach: float, *, sides: int) -> Field:
    """Signed distance to an even ``count`` of pins on each of two or four sides.

    One pin stands for its whole row: the row's coordinate is folded onto it.
    """
    rows = []
    for along, across in ((patch.x, patch.y), (patch.y, patch.x))[: sides // 2]:
        cell = np.clip(np.floor(along / np.float32(pitch)), -count // 2, count // 2 - 1)
        folded = along - np.float32(pitch) * (cell + np.float32(0.5))
        pin = Patch(
            patch.rows, patch.columns, folded, np.abs(across) - np.float32(reach), patch.unit
        )
        rows.append(box(pin, pitch * 0.25, 2.9, corner=0.4))
    return rows[0] if sides == 2 else np.minimum(rows[0], rows[1])


@lru_cache(maxsize=512)
def _letters(text: str) -> Field:
    """``text`` as coverage, letters about 24 rows high."""
    font = ImageFont.load_default(size=26)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(image).text((2 - left, 2 - top), text, fill=255, font=font)
    letters: Field = np.asarray(image, dtype=np.float32) / np.float32(255)
    return letters


def write(
    scene: Scene,
    patch: Patch,
    text: str,
    *,
    tall: float,
    at: tuple[float, float] = (0.0, 0.0),
    colour: Colour = _INK,
) -> None:
    """Print ``text`` with letters ``tall`` units high, centred at local ``at``."""
    letters = _letters(text)
    rows, columns = letters.shape
    # Area-average to the scene's resolution first: tiny print must blur, not alias.
    zoom = tall * patch.unit / rows
    if zoom < 1:
        small = Image.fromarray(letters).resize(
            (max(2, round(columns * zoom)), max(2, round(rows * zoom))), Image.Resampling.BOX
        )
        letters = np.asarray(small)
        rows, columns = letters.shape
    scale = np.float32(rows / tall)
    column = (patch.x - np.float32(at[0])) * scale + np.float32(columns / 2 - 0.5)
    row = (patch.y - np.float32(at[1])) * scale + np.float32(rows / 2 - 0.5)
    c0, r0 = np.floor(column).astype(np.int32), np.floor(row).astype(np.int32)
    fc, fr = column - c0, row - r0
    page = np.pad(letters, 1)

    def at_grid(r: np.ndarray, c: np.ndarray) -> np.ndarray:
        picked: np.ndarray = page[np.clip(r + 1, 0, rows + 1), np.clip(c + 1, 0, columns + 1)]
        return picked

    upper = at_grid(r0, c0) * (1 - fc) + at_grid(r0, c0 + 1) * fc
    lower = at_grid(r0 + 1, c0) * (1 - fc) + at_grid(r0 + 1, c0 + 1) * fc
    cover = (upper * (1 - fr) + lower * fr).astype(np.float32)
    scene.paint(patch, cover * np.float32(0.85), colour=colour)


def draw(
    scene: Scene,
    kind: str,
    at: tuple[float, float, float],
    rng: np.random.Generator,
    *,
    mark: str = "",
    tone: float = 1.0,
) -> tuple[Patch, Field]:
    """Mount a component.

    Args:
        scene: The scene, with the bare board.
        kind: Key of :data:`PACKAGES`.
        at: x, y (units) and turn (rad).
        rng: Decides its tolerance.
        mark: What is printed on it.
        tone: Brightness of its lot.

    Returns:
        The patch and the coverage of the component in it.
    """
    half_w, half_h = PACKAGES[kind].half
    patch = scene.patch(at[0], at[1], float(np.hypot(half_w, half_h)) + 4, at[2])
    tone *= float(rng.normal(1, 0.04))
    outline = np.zeros_like(patch.x)

    def lay(distance: Field, colour: Colour, height: Field, metal: float, gloss: float) -> None:
        cover = patch.inside(distance)
        shade = (colour[0] * tone, colour[1] * tone, colour[2] * tone)
        scene.paint(patch, cover, colour=shade, height=height, metal=metal, gloss=gloss)
        np.maximum(outline, cover, out=outline)

    def body(
        w: float,
        h: float,
        colour: Colour,
        tall: float,
        *,
        corner: float = 1.0,
        edge: float = 1.2,
        metal: float = 0.0,
        gloss: float = 0.05,
        x: float = 0.0,
        y: float = 0.0,
    ) -> None:
        distance = box(patch.moved(x, y), w, h, corner=corner)
        lay(distance, colour, bevel(distance, edge, tall), metal, gloss)

    def disc(
        radius: float,
        colour: Colour,
        low: float,
        tall: float,
        *,
        edge: float = 1.5,
        metal: float = 0.0,
        gloss: float = 0.05,
        x: float = 0.0,
        y: float = 0.0,
    ) -> None:
        distance = circle(patch.moved(x, y), radius)
        lay(distance, colour, low + bevel(distance, edge, tall - low), metal, gloss)

    if kind in ("resistor", "capacitor", "diode") or kind in _LED_COLOURS:
        if kind == "diode":
            body(half_w, 3.2, TIN, 1.6, metal=1.0)
            body(half_w - 2.5, half_h, _PLASTIC, 5.0, edge=2.0)
            body(1.3, half_h - 0.8, (0.5, 0.5, 0.48), 5.0, x=-5.5, edge=0.3)
        else:
            # Solder fillets climb the ends.
            for side in (-1, 1):
                body(
                    2.6,
                    half_h - 0.3,
                    TIN,
                    2.6,
                    x=side * (half_w - 1.6),
                    corner=1.6,
                    metal=1.0,
                    edge=3.0,
                )
            body(half_w - 0.6, half_h - 0.4, (0.62, 0.62, 0.60), 3.8, metal=0.85, corner=0.6)
            colour = {"resistor": (0.028, 0.028, 0.032), "capacitor": (0.40, 0.27, 0.15)}.get(
                kind, (0.66, 0.65, 0.60)
            )
            body(half_w - 3.0, half_h - 0.2, colour, 4.0, corner=0.4, edge=0.8)
            if kind == "resistor":
                write(scene, patch, mark, tall=4.4)
            elif kind in _LED_COLOURS:
                disc(3.6, _LED_COLOURS[kind], 4.0, 6.4, edge=3.6, gloss=0.5)
    elif kind in ("driver", "processor"):
        sides = 4 if kind == "processor" else 2
        count, pitch, reach = (12, 4.6, 34.5) if sides == 4 else (4, 7.4, 14.5)
        pins = _pins(patch, count, pitch, reach, sides=sides)
        lay(pins, TIN, bevel(pins, 0.9, 2.0), 1.0, 0.05)
        w, h = (31.0, 31.0) if sides == 4 else (15.0, 12.4)
        body(w, h, _PLASTIC, 6.0, edge=1.6)
        disc(
            2.0 if sides == 4 else 1.5,
            (0.045, 0.045, 0.045),
            5.6,
            5.2,
            edge=0.8,
            x=-w + 5.0,
            y=h - 5.0 if sides == 4 else h - 4.0,
        )
        lines = mark.split("/")
        tall = 6.2 if sides == 4 else 4.2
        for i, line in enumerate(lines):
            write(scene, patch, line, tall=tall, at=(0.0, (i - (len(lines) - 1) / 2) * tall * 1.5))
    elif kind == "electrolytic":
        body(half_w, 3.0, TIN, 1.5, metal=1.0)
        body(13.6, 13.6, _PLASTIC, 4.0, corner=3.5)
        disc(12.6, (0.62, 0.62, 0.63), 4.0, 12.0, edge=2.6, metal=0.9)
        stripe = np.maximum(circle(patch, 10.8), patch.x + np.float32(5.0))
        scene.paint(patch, patch.inside(stripe), colour=_PLASTIC, metal=0.0)
        write(scene, patch, mark, tall=5.0, at=(2.4, 0.0), colour=(0.02, 0.02, 0.02))
    elif kind == "inductor":
        body(half_w, half_w, (0.085, 0.083, 0.085), 7.0, corner=2.5, edge=2.2)
        ring = np.abs(circle(patch, 9.6)) - np.float32(1.0)
        scene.paint(patch, patch.inside(ring, softness=1.2), raise_by=-0.9)
        write(scene, patch, mark, tall=6.4)
    elif kind == "crystal":
        body(half_w, half_h, (0.58, 0.58, 0.57), 2.0, corner=half_h - 0.1, metal=1.0, edge=1.0)
        body(
            half_w - 1.6,
            half_h - 1.6,
            (0.62, 0.62, 0.61),
            7.5,
            corner=half_h - 1.8,
            metal=1.0,
            edge=2.2,
        )
        write(scene, patch, mark, tall=4.8, colour=(0.06, 0.06, 0.06))
    elif kind == "button":
        for x, y, w, h in _rows(2, 20.0, 11.5, sides=2):
            body(w * 0.35, h * 0.8, TIN, 1.8, x=x, y=y, metal=1.0)
        body(12.5, 11.0, (0.56, 0.56, 0.55), 5.0, metal=0.95, corner=1.2)
        disc(6.2, (0.03, 0.03, 0.032), 5.0, 9.5, edge=1.6, gloss=0.12)
    elif kind == "header":
        body(half_w, half_h, (0.58, 0.56, 0.48), 9.0, corner=1.5, edge=1.4)
        body(half_w - 3, half_h - 3, (0.34, 0.33, 0.28), 4.0, corner=0.8, edge=0.5)
        for i in range(-3, 4):
            body(1.5, 1.5, GOLD, 8.0, x=i * 11.4, metal=1.0, edge=1.3, corner=0.4)
    elif kind == "terminal":
        body(half_w, half_h, (0.015, 0.13, 0.27), 12.0, corner=1.2, edge=1.8, gloss=0.10)
        for i in (-1, 0, 1):
            disc(7.6, (0.010, 0.05, 0.10), 10.0, 7.0, edge=1.0, x=i * 21.0)
            disc(6.2, (0.60, 0.60, 0.58), 7.0, 9.0, edge=1.6, metal=1.0, x=i * 21.0)
            slot = patch.moved(i * 21.0, 0.0, float(rng.uniform(0, np.pi)))
            groove = patch.inside(box(slot, 5.6, 1.0))
            scene.paint(patch, groove, raise_by=-2.0, colour=(0.15, 0.15, 0.15))
    else:  # socket
        for x, _, w, _ in PACKAGES["socket"].pads:
            body(w * 0.7, 3.0, TIN, 1.5, x=x, y=-15.5, metal=1.0, edge=0.7)
        body(half_w, half_h - 2, (0.60, 0.60, 0.59), 9.0, corner=1.6, edge=2.0, metal=1.0, y=1.0)
        for side in (-1, 1):
            body(1.6, 4.6, (0.12, 0.12, 0.12), 8.0, x=side * 10.0, y=3.0, corner=0.8, metal=0.4)
    return patch, outline
