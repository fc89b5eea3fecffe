"""Pixel formats: from whatever a camera or program delivers to ``(H, W, 3)`` uint8.

No rule depends on the content of an image: stretching each image to its own minimum and maximum
would make two pictures of the same part incomparable.

- 16-bit: full scale, linear: ``round(value / (2**bit_depth - 1) * 255)``, clipped at 255.
- Float: values in [0, 1], times 255, rounded.
- Grey: repeated to three channels.
- Alpha: composited on black. What is transparent is not part of the picture; the colours programs
  leave under it are arbitrary, and black is what an unlit sensor gives.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.errors import ConfigError, DataError

_EXPECTED = (
    "Expected an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, of uint16, or of "
    "floats in [0, 1]"
)


def to_rgb(array: NDArray[Any], *, bit_depth: int = 16) -> NDArray[np.uint8]:
    """Pixels given directly, checked and brought to RGB by the rules of this module.

    Args:
        array: ``(H, W)``, ``(H, W, 1)``, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA; uint8, uint16
            or floats in [0, 1].
        bit_depth: Bits in use in a uint16 array: 10, 12 or 14 for cameras that store fewer than
            16; from 8 to 16.

    Returns:
        ``(H, W, 3)`` uint8, contiguous. The input itself where it already is that.

    Raises:
        DataError: Another shape or type, no pixels, values outside the range, or an alpha channel
            that hides every pixel.
        ConfigError: A bit depth outside 8 to 16.

    Example:
        >>> import numpy as np
        >>> from blemish.data.images.pixels import to_rgb
        >>> to_rgb(np.array([[0, 4095]], dtype=np.uint16), bit_depth=12).tolist()
        [[[0, 0, 0], [255, 255, 255]]]
    """
    check_bit_depth(bit_depth)
    if not isinstance(array, np.ndarray):
        raise DataError(
            f"{_EXPECTED}, found {type(array).__name__}. Convert it with numpy.asarray first."
        )
    _check_shape(array)
    pixels = _to_uint8(array, bit_depth)  # (H, W[, C])
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return grey_to_rgb(pixels.reshape(pixels.shape[:2]))
    if pixels.shape[2] == 4:
        if not pixels[..., 3].any():
            raise DataError(
                "The alpha channel is 0 everywhere, so every pixel is invisible. Expected an "
                "image with something to see: give the array without its alpha channel."
            )
        return composite_on_black(pixels)
    return np.ascontiguousarray(pixels)


def full_scale(values: NDArray[np.uint16], bit_depth: int = 16) -> NDArray[np.uint8]:
    """16-bit values to 8 bits: ``round(v / (2**bit_depth - 1) * 255)``; larger ones are clipped."""
    return _full_scale_table(check_bit_depth(bit_depth))[values]


def grey_to_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(H, W)`` repeated to ``(H, W, 3)``."""
    return np.repeat(grey[..., None], 3, axis=2)  # (H, W, 3)


def composite_on_black(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(H, W, 4)`` to ``(H, W, 3)``: each colour times its alpha, rounded."""
    alpha = rgba[..., 3:]  # (H, W, 1)
    if (alpha == 255).all():
        return np.ascontiguousarray(rgba[..., :3])
    # 255 is odd, so no product lies halfway: adding 127 rounds exactly, within uint16.
    product = rgba[..., :3].astype(np.uint16) * alpha  # (H, W, 3)
    return ((product + 127) // 255).astype(np.uint8)


def check_bit_depth(bit_depth: int) -> int:
    """The bit depth itself, refused where it is not an integer from 8 to 16."""
    if isinstance(bit_depth, bool) or not isinstance(bit_depth, int) or not 8 <= bit_depth <= 16:
        raise ConfigError(
            f"bit_depth is {bit_depth!r}; expected an integer from 8 to 16, the number of bits "
            "the camera really fills (often 10, 12 or 14)."
        )
    return bit_depth


def _check_shape(array: NDArray[Any]) -> None:
    if array.size == 0:
        raise DataError(f"{_EXPECTED}, found an array without pixels, shape {array.shape}.")
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
        return
    hint = "Check what produced it."
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        hint = "It looks like (C, H, W): use array.transpose(1, 2, 0)."
    elif array.ndim == 4:
        hint = "It looks like a batch: give one image at a time."
    raise DataError(f"{_EXPECTED}, found shape {array.shape}. {hint}")


def _to_uint8(array: NDArray[Any], bit_depth: int) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return full_scale(array, bit_depth)
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0.0 and high <= 1.0):  # also catches NaN
            raise DataError(
                f"{_EXPECTED}, found {array.dtype} with values from {low:g} to {high:g}. "
                "Divide by the largest value the source can deliver (255 for 8-bit images)."
            )
        return np.rint(array * 255.0).astype(np.uint8)
    raise DataError(
        f"{_EXPECTED}, found {array.dtype}. Convert it to one of these; which range its values "
        "use cannot be guessed."
    )


@lru_cache(maxsize=16)
def _full_scale_table(bit_depth: int) -> NDArray[np.uint8]:
    values = np.arange(65536) / (2**bit_depth - 1) * 255.0  # (65536,)
    table: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    table.setflags(write=False)
    return table
