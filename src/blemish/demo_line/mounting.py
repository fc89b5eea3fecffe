"""How one component of the synthetic board is put together: slabs, discs, pins and print."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from blemish.demo_line.noise import Field
from blemish.demo_line.scene import Colour, Patch, Scene, bevel, box, circle

TIN: Colour = (0.60, 0.60, 0.59)
INK: Colour = (0.42, 0.42, 0.40)


class Mount:
    """A component being drawn at one place of a scene.

    Args:
        scene: The scene.
        at: x, y (units) and turn (rad) of the component's centre.
        half: Half its width and height, units.
        tone: Factor on the brightness of all its materials.

    Attributes:
        patch: The component's window, with its own coordinates.
        outline: ``(h, w)`` coverage of what was drawn so far.
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
        self, text: str, tall: float, *, at: tuple[float, float] = (0.0, 0.0), colour: Colour = INK
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
