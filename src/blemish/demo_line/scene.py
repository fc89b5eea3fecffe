"""Scene: height, colour and finish of every point in front of a camera, before light.

Products draw shapes into a scene; :mod:`blemish.demo_line.camera` lights it and takes the
picture. Lengths are in *units*: the short side of the picture is 320 units at every resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]

SUPERSAMPLING = 2
"""Scene points per picture pixel along each axis."""

SHORT_SIDE = 320.0
"""Length of the picture's short side, in units."""

Colour = tuple[float, float, float]
"""Linear red, green, blue; 1 is a perfect diffuse reflector."""


class Pose(NamedTuple):
    """Where something lies, x and y in units, and how it is turned, rad."""

    x: float
    y: float
    angle: float

    def at(self, x: float, y: float, turn: float = 0.0) -> Pose:
        """The pose of something at local ``x, y``, turned by ``turn``."""
        c, s = float(np.cos(self.angle)), float(np.sin(self.angle))
        return Pose(self.x + c * x - s * y, self.y + s * x + c * y, self.angle + turn)


@dataclass(frozen=True)
class Patch:
    """A window of a scene with coordinates centred on, and turned with, one shape."""

    rows: slice
    columns: slice
    x: Field  # local x of every point, units (h, w); right at angle 0
    y: Field  # local y; down at angle 0
    unit: float  # scene points per unit

    def inside(self, distance: Field, *, softness: float = 0.0) -> Field:
        """Coverage in [0, 1] of a shape of signed ``distance`` (units), an edge one point wide."""
        width = max(1.0 / self.unit, softness)
        cover: Field = np.clip(0.5 - distance / np.float32(width), 0.0, 1.0)
        return cover

    def moved(self, x: float, y: float, angle: float = 0.0) -> Patch:
        """The same window with the origin moved to local ``x, y`` and turned by ``angle`` (rad)."""
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        dx, dy = self.x - np.float32(x), self.y - np.float32(y)
        return Patch(self.rows, self.columns, c * dx + s * dy, c * dy - s * dx, self.unit)

    def around(self, x: float, y: float, reach: float) -> Patch:
        """The part of the window within ``reach`` of local ``x, y``, which becomes the origin."""
        h, w = self.x.shape
        if h < 2 or w < 2:
            return self.moved(x, y)
        c = float(self.x[0, 1] - self.x[0, 0]) * self.unit
        s = float(self.x[1, 0] - self.x[0, 0]) * self.unit
        dx, dy = x - float(self.x[0, 0]), y - float(self.y[0, 0])
        column, row = (c * dx - s * dy) * self.unit, (s * dx + c * dy) * self.unit
        margin = reach * self.unit + 1
        top = min(max(int(row - margin), 0), h - 1)
        left = min(max(int(column - margin), 0), w - 1)
        bottom = max(min(int(row + margin) + 2, h), top + 1)
        right = max(min(int(column + margin) + 2, w), left + 1)
        return Patch(
            slice(self.rows.start + top, self.rows.start + bottom),
            slice(self.columns.start + left, self.columns.start + right),
            self.x[top:bottom, left:right] - np.float32(x),
            self.y[top:bottom, left:right] - np.float32(y),
            self.unit,
        )


Pieces = list[tuple[Patch, Field]]
"""Windows and the coverage in them of what is wrong."""

Areas = list[tuple[str, NDArray[np.bool_]]]
"""Name and mask ``(H, W)`` of each defect."""


class Scene:
    """Height, colour and finish of every point of a picture of ``size`` (H, W) pixels.

    ``h, w`` are :data:`SUPERSAMPLING` times that. ``metal`` is the share of mirror-like against
    diffuse reflection, ``gloss`` the strength of the varnish-like highlight, and ``exposure`` a
    factor on the light a point sends to the camera, ``None`` for 1.
    """

    def __init__(self, size: tuple[int, int], colour: Colour = (0.2, 0.2, 0.2)) -> None:
        self.size = size
        h, w = size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
        self.shape = (h, w)
        self.unit = min(h, w) / SHORT_SIDE
        self.height = np.zeros((h, w), np.float32)  # elevation, units
        self.colour = np.empty((3, h, w), np.float32)  # linear reflectance
        self.colour[:] = np.asarray(colour, np.float32)[:, None, None]
        self.metal = np.zeros((h, w), np.float32)
        self.gloss = np.zeros((h, w), np.float32)
        self.exposure: Field | None = None

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height of the picture, in units."""
        return self.shape[1] / self.unit, self.shape[0] / self.unit

    def anywhere(self, rng: np.random.Generator, margin: float) -> tuple[float, float]:
        """A random point at least ``margin`` units from the picture's edge."""
        width, height = self.extent
        return (rng.uniform(margin, width - margin), rng.uniform(margin, height - margin))

    def patch(self, x: float, y: float, radius: float, angle: float = 0.0) -> Patch:
        """The window of half-side ``radius`` (units) around ``x, y``, turned by ``angle`` (rad)."""
        h, w = self.shape
        u = self.unit
        top = min(max(int((y - radius) * u), 0), h - 1)
        left = min(max(int((x - radius) * u), 0), w - 1)
        bottom = max(min(int((y + radius) * u) + 2, h), top + 1)
        right = max(min(int((x + radius) * u) + 2, w), left + 1)
        dx = (np.arange(left, right, dtype=np.float32) + 0.5) / np.float32(u) - np.float32(x)
        dy = (np.arange(top, bottom, dtype=np.float32) + 0.5) / np.float32(u) - np.float32(y)
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return Patch(
            slice(top, bottom),
            slice(left, right),
            c * dx[None, :] + s * dy[:, None],
            c * dy[:, None] - s * dx[None, :],
            u,
        )

    def everywhere(self, x: float = 0.0, y: float = 0.0, angle: float = 0.0) -> Patch:
        """The whole scene as a patch."""
        return self.patch(x, y, 4.0 * max(self.extent), angle)

    def paint(
        self,
        patch: Patch,
        cover: Field,
        *,
        colour: Colour | Field | None = None,
        height: float | Field | None = None,
        raise_by: float | Field | None = None,
        metal: float | Field | None = None,
        gloss: float | Field | None = None,
    ) -> None:
        """Lay material over the scene where ``cover`` ``(h, w)`` in [0, 1] says so."""
        at = (patch.rows, patch.columns)
        if colour is not None:
            new = np.asarray(colour, np.float32)
            if new.ndim == 1:
                new = new[:, None, None]
            old = self.colour[:, patch.rows, patch.columns]
            old += cover * (new - old)
        if height is not None:
            self.height[at] += cover * (np.float32(1.0) * height - self.height[at])
        if raise_by is not None:
            self.height[at] += cover * raise_by
        if metal is not None:
            self.metal[at] += cover * (np.float32(1.0) * metal - self.metal[at])
        if gloss is not None:
            self.gloss[at] += cover * (np.float32(1.0) * gloss - self.gloss[at])

    def tint(self, patch: Patch, cover: Field, factor: Colour | Field) -> None:
        """Multiply the colour by ``factor`` where ``cover`` says so, as a stain or burn does."""
        new = np.asarray(factor, np.float32)
        if new.ndim == 1:
            new = new[:, None, None]
        self.colour[:, patch.rows, patch.columns] *= 1.0 + cover * (new - 1.0)

    def mask(self, pieces: Sequence[tuple[Patch, Field]], *, share: float = 0.25) -> NDArray[Any]:
        """The pixels ``(H, W)`` bool of which a ``share`` is covered by one of the ``pieces``."""
        total = np.zeros(self.shape, np.float32)
        for patch, cover in pieces:
            window = total[patch.rows, patch.columns]
            np.maximum(window, cover, out=window)
        reduced = np.asarray(Image.fromarray(total).reduce(SUPERSAMPLING))
        # In a small picture a thin defect may nowhere cover that much of a pixel.
        return reduced >= min(share, float(reduced.max()) * 0.5 + 1e-6)


def turned(
    image: Image.Image, shape: tuple[int, int], centre: tuple[float, float], pose: Pose
) -> Image.Image:
    """A picture ``shape`` of ``image``, its ``centre`` laid at ``pose``, here in scene points."""
    c, s = float(np.cos(pose.angle)), float(np.sin(pose.angle))
    x, y, (cx, cy) = pose.x, pose.y, centre
    matrix = (c, s, cx - c * x - s * y, -s, c, cy + s * x - c * y)
    size = (shape[1], shape[0])
    return image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def circle(patch: Patch, radius: float | Field) -> Field:
    """Signed distance to a circle around the patch's origin."""
    distance: Field = np.hypot(patch.x, patch.y) - np.float32(1.0) * radius
    return distance


def box(patch: Patch, half_width: float, half_height: float, *, corner: float = 0.0) -> Field:
    """Signed distance to a rectangle, with rounded corners of radius ``corner``."""
    qx = np.abs(patch.x) - np.float32(half_width - corner)
    qy = np.abs(patch.y) - np.float32(half_height - corner)
    outside = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0))
    distance: Field = outside + np.minimum(np.maximum(qx, qy), 0) - np.float32(corner)
    return distance


def hexagon(patch: Patch, apothem: float) -> Field:
    """Signed distance (exact inside) to a regular hexagon with flats at ``apothem``."""
    x, y = np.abs(patch.x), np.abs(patch.y)
    slanted = x * np.float32(0.8660254) + y * np.float32(0.5)
    distance: Field = np.maximum(slanted, y) - np.float32(apothem)
    return distance


def polyline(patch: Patch, points: NDArray[np.float64]) -> tuple[Field, Field]:
    """Distance to a line through ``points`` ``(P, 2)`` and the position along it in [0, 1]."""
    best = np.full(patch.x.shape, np.inf, np.float32)
    along = np.zeros(patch.x.shape, np.float32)
    segments = len(points) - 1
    for i in range(segments):
        ax, ay = (np.float32(v) for v in points[i])
        bx, by = (
            np.float32(points[i + 1][0] - points[i][0]),
            np.float32(points[i + 1][1] - points[i][1]),
        )
        dx, dy = patch.x - ax, patch.y - ay
        t = np.clip((dx * bx + dy * by) / (bx * bx + by * by + np.float32(1e-9)), 0, 1)
        distance = np.hypot(dx - t * bx, dy - t * by)
        nearer = distance < best
        best = np.where(nearer, distance, best)
        along = np.where(nearer, (t + i) / segments, along)
    return best, along.astype(np.float32)


def bevel(distance: Field, width: float, height: float) -> Field:
    """Elevation of a plate of ``height`` whose edge is rounded over ``width`` units."""
    t = np.clip(-distance / np.float32(width), 0.0, 1.0)
    elevation: Field = np.float32(height) * np.sqrt(t * (2.0 - t))
    return elevation


def resize(field: NDArray[Any], shape: tuple[int, int]) -> Field:
    """``field`` interpolated to ``shape`` (bicubic)."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    enlarged = image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(enlarged, dtype=np.float32)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: tuple[float, float]
) -> Field:
    """Zero-mean noise ``shape`` of about unit deviation; fewer ``cells`` are smoother."""
    rows = max(2, min(shape[0], round(cells[0])))
    columns = max(2, min(shape[1], round(cells[1])))
    return resize(rng.standard_normal((rows, columns), dtype=np.float32), shape)


def wobble(rng: np.random.Generator, angle: Field, amount: float, *, lobes: int = 11) -> Field:
    """A radius factor around 1 that makes a circle irregular, as a function of the polar angle."""
    factor = np.ones_like(angle)
    for k in range(2, 2 + lobes):
        strength = amount * rng.normal() * 2 / k**1.5
        factor += np.float32(strength) * np.cos(k * angle + np.float32(rng.uniform(0, 6.2832)))
    return np.clip(factor, 0.45, 1.6)


def curve(
    rng: np.random.Generator,
    start: tuple[float, float],
    angle: float,
    length: float,
    *,
    bend: float,
    points: int = 12,
) -> NDArray[np.float64]:
    """A line ``(points, 2)`` from ``start`` that turns by ``bend`` rad (1 sigma) on its way."""
    turns = rng.normal(0.0, bend / np.sqrt(points), points - 1).cumsum()
    heading = angle + turns
    step = length / (points - 1)
    steps = step * np.stack([np.cos(heading), np.sin(heading)], axis=1)  # (P-1, 2)
    line: NDArray[np.float64] = np.concatenate([np.zeros((1, 2)), steps.cumsum(0)])
    line += np.asarray(start)
    return line
