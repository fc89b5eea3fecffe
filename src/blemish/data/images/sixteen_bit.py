"""16-bit grey images: how many bits count, and the values as whole numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.errors import ImageError


def bits_in_use(image: Image.Image, asked: int) -> int:
    """The bits that count of an image not decoded yet: those asked for, or fewer if it says so."""
    declared = getattr(image, "tag_v2", {}).get(258, 16)  # bits per sample of a TIFF
    declared = declared[0] if isinstance(declared, tuple) and declared else declared
    fewer = isinstance(declared, int) and 8 < declared < 16
    return min(asked, declared) if fewer else asked


def sixteen_bit_values(image: Image.Image, path: Path) -> NDArray[np.uint16]:
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
