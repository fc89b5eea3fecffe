"""16-bit grey images: how many bits count, and the values as whole numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.errors import ImageError
from blemish.results import Note

_CODESTREAM = b"\xff\x4f\xff\x51"  # JPEG 2000: begin, size
_CAMERAS = (8, 10, 12, 14)
_PRECISION = 42  # where behind it the precision of the first channel stands


def bits_in_use(image: Image.Image, asked: int) -> int:
    """The bits that count of an image not decoded yet: those asked for, or fewer if it says so.

    PGM and JPEG 2000 say what their largest value is, and Pillow scales it to 16 bits: nothing of
    that is left to ask for.
    """
    if image.format == "PPM":
        tiles = getattr(image, "tile", ())
        scaled = any(tile[0] != "raw" and tile[3] != (tile[3][0], 65535) for tile in tiles)
        return 16 if scaled else asked
    if image.format == "JPEG2000":
        return 16 if _precision(image) < 16 else asked
    declared = getattr(image, "tag_v2", {}).get(258, 16)  # bits per sample of a TIFF
    declared = declared[0] if isinstance(declared, tuple) and declared else declared
    fewer = isinstance(declared, int) and 8 < declared < 16
    return min(asked, declared) if fewer else asked


def likely_bits(largest: int) -> int:
    """The bits that a camera has which gives no value above ``largest``."""
    return next((bits for bits in _CAMERAS if largest < 2**bits), 16)


def depth_note(largest: int, bit_depth: int) -> Note | None:
    """What the largest value of one picture says of the depth by which it is read, if anything.

    A picture of a sixteenth of the range is nearly black, be it of another camera or of the night.
    """
    likely = likely_bits(largest)
    if largest >= 2**bit_depth:
        found = f"Some of its values are more than {bit_depth} bits hold and are read as white"
    elif 0 < largest < 2 ** (bit_depth - 4):
        found = f"Its values look like {likely} bits; read with {bit_depth} bits it is nearly black"
    else:
        return None
    return Note("depth", f"{found}. A model for such pictures: blemish fit … --bit-depth {likely}")


def _precision(image: Image.Image) -> int:
    """Bits per sample that a JPEG 2000 file declares."""
    file = getattr(image, "fp", None)
    if file is None:
        return 16
    position = file.tell()
    file.seek(0)
    start = file.read(65536)
    file.seek(position)
    size = start.find(_CODESTREAM)
    place = size + _PRECISION
    return 16 if size < 0 or place >= len(start) else (start[place] & 0x7F) + 1


def zero_is_white(image: Image.Image) -> bool:
    """Whether a 16-bit TIFF says that 0 is white, which Pillow minds with 8 bits alone."""
    return image.mode.startswith("I") and getattr(image, "tag_v2", {}).get(262) == 0


def sixteen_bit_values(image: Image.Image, path: str | Path) -> NDArray[np.uint16]:
    """Values ``(H, W)`` of a picture of more than eight bits, refused where 16 do not hold them."""
    values: NDArray[Any] = np.asarray(image)
    if values.dtype.kind == "i" or values.dtype.itemsize > 2:
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise ImageError(
                f"Cannot read {path}: found 32-bit values from {low} to {high}. Expected values "
                "from 0 to 65535; what range a 32-bit image uses cannot be guessed. Re-save it "
                "with 8 or 16 bits."
            )
    return values.astype(np.uint16)
