"""The camera of the synthetic demo line: light, shadow, lens and sensor.

One key light from the upper left behind a diffuser, an even fill light, and a camera looking
straight down. Everything a real station lets drift a little drifts here: direction and level of
the light, its fall-off over the picture, white balance, focus, and the sensor's noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from blemish.demo_line.scene import SUPERSAMPLING, Field, Scene, resize

_NORMALS = 256  # directions tabulated along each axis of the normal
_TONES = 4096  # entries of the tone curve
_WHITE = 1.6  # linear light at the last entry
_FILL = 0.42  # even light from all sides, where nothing hides it
_BAND = 64  # scene rows lit at a time, so that the arrays stay in the processor's cache


@dataclass(frozen=True)
class Light:
    """The state of the station for one picture."""

    azimuth: float  # direction the key light comes from, rad from the x axis, y down
    elevation: float  # its height over the table, rad
    level: float  # factor on all light
    slope: tuple[float, float]  # relative fall-off across the half width and half height
    vignette: float  # relative loss of light in the corners
    balance: tuple[float, float, float]  # gains of red, green and blue
    blur: float  # weight of each neighbour in the lens's 3-tap blur: 0 sharp, 1/3 a box
    shot_noise: float  # variance per unit of linear light
    read_noise: float  # variance of the dark signal

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Light:
        """A station as it may be found on an ordinary day."""
        return cls(
            azimuth=float(-2.2 + rng.normal(0, 0.10)),
            elevation=float(0.86 + rng.normal(0, 0.05)),
            level=float(np.exp(rng.normal(0, 0.07))),
            slope=(rng.normal(0, 0.07), rng.normal(0, 0.07)),
            vignette=rng.uniform(0.04, 0.16),
            balance=(rng.normal(1, 0.015), 1.0, rng.normal(1, 0.02)),
            blur=rng.uniform(0.05, 0.17),
            shot_noise=rng.uniform(0.00003, 0.00012),
            read_noise=rng.uniform(0.000004, 0.00001),
        )

    @property
    def direction(self) -> tuple[float, float, float]:
        """Unit vector towards the key light: x right, y down, z to the camera."""
        flat = float(np.cos(self.elevation))
        return (
            flat * float(np.cos(self.azimuth)),
            flat * float(np.sin(self.azimuth)),
            float(np.sin(self.elevation)),
        )


def shoot(scene: Scene, light: Light, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Take the picture ``(H, W, 3)`` uint8 sRGB; ``rng`` is the source of the sensor's noise."""
    tables = _tables(light.direction)
    lit, ambient = _shadows(scene, light)  # (h, w) each
    picture = np.empty((3, *scene.size), np.float32)  # (3, H, W)
    for top in range(0, scene.shape[0], _BAND):
        _expose(scene, slice(top, min(top + _BAND, scene.shape[0])), tables, lit, ambient, picture)
    field = _falloff(scene.size, light)
    for channel, gain in enumerate(light.balance):
        picture[channel] *= field * np.float32(gain)
    _blur(picture, light.blur)
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noise *= np.sqrt(
        np.maximum(picture, 0) * np.float32(light.shot_noise) + np.float32(light.read_noise)
    )
    picture += noise
    picture *= np.float32((_TONES - 1) / _WHITE)
    np.clip(picture, 0, _TONES - 1, out=picture)
    image = np.empty((*scene.size, 3), np.uint8)
    for channel in range(3):
        image[..., channel] = _tone_curve().take(picture[channel].astype(np.intp))
    return image


def _expose(
    scene: Scene,
    rows: slice,
    tables: tuple[Field, Field, Field],
    lit: Field,
    ambient: Field,
    picture: Field,
) -> None:
    """Light a band of the scene and write it to the picture."""
    diffuse, mirror, highlight = tables
    normal = _normal_index(scene, rows)  # (b, w)
    light, fill, metal, gloss = lit[rows], ambient[rows], scene.metal[rows], scene.gloss[rows]
    matte = diffuse.take(normal)
    matte *= light
    matte += fill
    if metal.any():
        # Metal mirrors the whole diffuser, of which a cast shadow hides only a part.
        mirrored = mirror.take(normal)
        mirrored *= np.float32(0.45) * light + np.float32(0.55 / _FILL) * fill
        mirrored -= matte
        mirrored *= metal
        matte += mirrored
    shine: Field | None = None
    if gloss.any():
        shine = gloss * highlight.take(normal)
        shine *= light
    target = slice(rows.start // SUPERSAMPLING, rows.stop // SUPERSAMPLING)
    for channel in range(3):
        radiance = scene.colour[channel, rows] * matte
        if shine is not None:
            radiance += shine
        if scene.exposure is not None:
            radiance *= scene.exposure[rows]
        picture[channel, target] = np.asarray(Image.fromarray(radiance).reduce(SUPERSAMPLING))


def _normal_index(scene: Scene, rows: slice) -> NDArray[Any]:
    """Position in the tables of :func:`_tables` of the surface normals of a band."""
    last = scene.shape[0] - 1
    h = scene.height[rows]
    gx, gy = np.zeros_like(h), np.zeros_like(h)
    half = np.float32(0.5 * scene.unit)
    np.subtract(h[:, 2:], h[:, :-2], out=gx[:, 1:-1])
    first, end = max(rows.start, 1), min(rows.stop, last)  # rows with a neighbour on both sides
    np.subtract(
        scene.height[first + 1 : end + 1],
        scene.height[first - 1 : end - 1],
        out=gy[first - rows.start : end - rows.start],
    )
    gx *= half
    gy *= half
    scale = np.float32(-0.5 * (_NORMALS - 1)) / np.sqrt(1.0 + gx * gx + gy * gy)
    gx *= scale
    gy *= scale
    gx += np.float32(0.5 * _NORMALS)
    gy += np.float32(0.5 * _NORMALS)
    index: NDArray[Any] = gy.astype(np.intp)
    index *= _NORMALS
    index += gx.astype(np.intp)
    return index


def _tables(direction: tuple[float, float, float]) -> tuple[Field, Field, Field]:
    """Diffuse light, mirrored surroundings and varnish highlight by surface normal."""
    axis = (np.arange(_NORMALS, dtype=np.float32) + 0.5) * np.float32(2 / _NORMALS) - 1
    nx, ny = axis[None, :], axis[:, None]
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0.0))
    lx, ly, lz = (np.float32(v) for v in direction)
    towards = nx * lx + ny * ly + nz * lz
    diffuse = np.float32(0.95) * np.maximum(towards, 0)
    # The reflected ray sees a bright diffuser around the light, a dim ceiling and dark sides.
    rx, ry, rz = 2 * nz * nx, 2 * nz * ny, 2 * nz * nz - 1
    seen = rx * lx + ry * ly + rz * lz
    softbox = 1 / (1 + np.exp(np.clip(-(seen - np.float32(0.80)) * 11, -30, 30)))
    ceiling = np.clip(rz * np.float32(0.5) + np.float32(0.5), 0, 1)
    rim = np.exp(-(((rx * lx + ry * ly) + np.float32(0.75)) ** 2) * 14)
    mirror = np.float32(0.10) + 0.42 * ceiling * ceiling + 1.05 * softbox + 0.22 * rim
    norm = float(np.sqrt(direction[0] ** 2 + direction[1] ** 2 + (direction[2] + 1) ** 2))
    half = (nx * lx + ny * ly + nz * (lz + 1)) / np.float32(norm)
    highlight = np.maximum(half, 0) ** 40
    return diffuse.ravel(), mirror.astype(np.float32).ravel(), highlight.ravel()


def _shadows(scene: Scene, light: Light) -> tuple[Field, Field]:
    """Share of the key light that arrives, and the fill light, at every point."""
    low = np.asarray(Image.fromarray(scene.height).reduce(SUPERSAMPLING))  # (H, W)
    unit = scene.unit / SUPERSAMPLING
    rows, columns = low.shape
    lx, ly, lz = light.direction
    flat = float(np.hypot(lx, ly))
    drop = lz / flat  # fall of the light's ray per unit of way
    relief = float(low.max() - low.min())
    if relief < 0.8:
        return np.ones(scene.shape, np.float32), np.full(scene.shape, _FILL, np.float32)
    reach = relief / drop * unit  # pixels
    steps = int(np.clip(np.ceil(reach / 1.5), 1, 14))
    margin = int(np.ceil(reach)) + 2
    padded = np.pad(low, margin, mode="edge")
    ceiling = low.copy()
    for step in range(1, steps + 1):
        way = reach * step / steps  # pixels towards the light
        top = margin + round(ly / flat * way)
        left = margin + round(lx / flat * way)
        window = padded[top : top + rows, left : left + columns]
        np.maximum(ceiling, window - np.float32(way / unit * drop), out=ceiling)
    dark = np.clip((ceiling - low) * np.float32(170), 0, 255).astype(np.uint8)
    soft = Image.fromarray(dark).filter(ImageFilter.GaussianBlur(1.3 * unit))
    around = Image.fromarray(low)
    block = max(1, round(5 * unit))
    mean = resize(np.asarray(around.reduce(block)), (rows, columns))
    open_sky = np.clip((mean - low) / np.float32(9), 0, 0.55)
    lit = 1 - np.asarray(soft, dtype=np.float32) * np.float32(0.86 / 255)
    fill = np.float32(_FILL) * (1 - open_sky)
    return _enlarge(lit, scene.shape), _enlarge(fill, scene.shape)


def _enlarge(field: Field, shape: tuple[int, int]) -> Field:
    """``field`` at the scene's resolution."""
    image = Image.fromarray(field).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _falloff(size: tuple[int, int], light: Light) -> Field:
    """Relative illumination ``(H, W)``."""
    y = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, size[1], dtype=np.float32)[None, :]
    field: Field = 1 + np.float32(light.slope[0]) * x + np.float32(light.slope[1]) * y
    field = field * (1 - np.float32(light.vignette / 2) * (x * x + y * y))
    field = field * np.float32(light.level)
    return field


def _blur(picture: Field, weight: float) -> None:
    """The lens: a 3-tap blur along both axes, in place."""
    side, middle = np.float32(weight), np.float32(1 - 2 * weight)
    rows = picture[:, :-2] + picture[:, 2:]
    picture[:, 1:-1] = middle * picture[:, 1:-1] + side * rows
    columns = picture[:, :, :-2] + picture[:, :, 2:]
    picture[:, :, 1:-1] = middle * picture[:, :, 1:-1] + side * columns


@lru_cache(maxsize=1)
def _tone_curve() -> NDArray[np.uint8]:
    """sRGB with a shoulder instead of a hard clip, by linear light."""
    x = np.linspace(0, _WHITE, _TONES)
    x = np.where(x < 0.7, x, 0.7 + 0.3 * np.tanh((x - 0.7) / 0.3))
    y = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)
    return np.round(255 * np.clip(y, 0, 1)).astype(np.uint8)
