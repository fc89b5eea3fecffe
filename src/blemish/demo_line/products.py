"""The four products of the synthetic demo line and their defects."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blemish.demo_line import board, fabric, metal, tray
from blemish.demo_line.camera import Light, shoot
from blemish.errors import ConfigError

DefectGroup = Literal["logical", "structural"]

PRODUCTS: tuple[str, ...] = ("metal", "fabric", "board", "tray")
"""Names of the products: two surfaces, two assemblies."""

_MODULES = {"metal": metal, "fabric": fabric, "board": board, "tray": tray}
_SMALLEST = 64  # pixels; below it a resistor is less than two pixels wide
_MOST_OBLONG = 3.0  # long side over short side


def _defects() -> dict[str, dict[str, DefectGroup]]:
    named: dict[str, dict[str, DefectGroup]] = {
        "metal": dict.fromkeys(metal.DEFECTS, "structural"),
        "fabric": dict.fromkeys(fabric.DEFECTS, "structural"),
    }
    for product, logical, structural in (
        ("board", board.LOGICAL, board.STRUCTURAL),
        ("tray", tray.LOGICAL, tray.STRUCTURAL),
    ):
        named[product] = {
            **dict.fromkeys(logical, "logical"),
            **dict.fromkeys(structural, "structural"),
        }
    return named


DEFECTS: dict[str, dict[str, DefectGroup]] = _defects()
"""Defects by product: name to ``logical`` or ``structural``."""


def picture_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width from one number or two; :class:`ConfigError` for what cannot be drawn."""
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if min(height, width) < _SMALLEST or max(height, width) > _MOST_OBLONG * min(height, width):
        raise ConfigError(
            f"A demo picture of {height} x {width} pixels was asked for. Sides of at least "
            f"{_SMALLEST} pixels are needed, the longer at most {_MOST_OBLONG:g} times the "
            "shorter: choose another size, for example 320 or (320, 400)."
        )
    return height, width


def check_product(product: str) -> None:
    """Raise :class:`ConfigError` for a product the line does not make."""
    if product not in PRODUCTS:
        raise ConfigError(
            f"The demo line makes no product {product!r}. It makes: {', '.join(PRODUCTS)}."
        )


def render(
    product: str,
    *,
    size: int | tuple[int, int],
    rng: np.random.Generator,
    defect: str | None = None,
) -> tuple[NDArray[np.uint8], list[tuple[str, NDArray[np.bool_]]]]:
    """Take one synthetic picture of a product.

    Args:
        product: One of :data:`PRODUCTS`.
        size: Side of a square picture, or height and width, in pixels.
        rng: Decides everything that differs between pictures; equal states give equal pictures.
            An equal state without the defect shows the same part before it was spoiled (except
            that a compartment of the tray whose contents change is filled anew).
        defect: A name from ``DEFECTS[product]``, or ``None`` for a good part.

    Returns:
        The picture ``(H, W, 3)`` uint8 sRGB, and one ``(defect name, mask (H, W) bool)`` for
        each defect in it, as MVTec LOCO annotates defects. A part in the wrong compartment
        counts twice: where it lies, and as missing where it should be.

    Raises:
        ConfigError: An unknown product or defect, or a size that cannot be drawn.

    Example:
        >>> import numpy as np
        >>> from blemish.demo_line import render
        >>> rng = np.random.default_rng(0)
        >>> image, defects = render("metal", size=(64, 96), rng=rng, defect="dent")
        >>> image.shape, [name for name, mask in defects]
        ((64, 96, 3), ['dent'])
    """
    check_product(product)
    shape = picture_size(size)
    if defect is not None and defect not in DEFECTS[product]:
        raise ConfigError(
            f"Product {product!r} has no defect {defect!r}. It has: {', '.join(DEFECTS[product])}."
        )
    light = Light.drawn(rng)
    fault = np.random.default_rng(int(rng.integers(2**63)))
    scene, areas = _MODULES[product].render(shape, rng, fault, defect)
    return shoot(scene, light, rng), areas


def defects_config(product: str, *, size: int | tuple[int, int]) -> list[dict[str, Any]]:
    """The contents of a product's ``defects_config.json``, as in MVTec LOCO.

    Args:
        product: One of :data:`PRODUCTS`.
        size: Of the pictures; absolute saturation areas are in their pixels.

    Returns:
        For each defect its ``defect_name``, ``pixel_value`` in the ground-truth pictures,
        ``saturation_threshold`` and ``relative_saturation``.

    Raises:
        ConfigError: An unknown product, or a size that cannot be drawn.

    Example:
        >>> from blemish.demo_line import defects_config
        >>> defects_config("metal", size=320)[0]["pixel_value"]
        255
    """
    check_product(product)
    shape = picture_size(size)
    entries: list[dict[str, Any]] = []
    for i, name in enumerate(DEFECTS[product]):
        threshold, relative = 1.0, True
        if product == "tray":
            threshold, relative = tray.saturation(name, shape)
        elif product == "board":
            threshold, relative = board.saturation(name)
        entries.append(
            {
                "defect_name": name,
                "pixel_value": 255 - i,
                "saturation_threshold": threshold if relative else int(threshold),
                "relative_saturation": relative,
            }
        )
    return entries
