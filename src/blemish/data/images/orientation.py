"""EXIF orientation: what a header says of it, and pixels turned the right way up."""

from __future__ import annotations

import os
import struct
from typing import Any

from numpy.typing import NDArray
from PIL import ExifTags, Image


def stored_size(image: Image.Image) -> tuple[int, int]:
    """``(width, height)`` as stored, before any orientation."""
    tags = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags is not None:
        # Pillow's size has the orientation in it or not, depending on its version.
        return int(tags[256]), int(tags[257])
    return image.size


def header_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, from an image whose pixels are not decoded yet."""
    if image.format == "TIFF":
        return exif_orientation(lambda: getattr(image, "tag_v2", {}))
    if image.format == "PNG" and "exif" not in image.info and not _has_late_metadata(image):
        # PNG's getexif decodes the whole image, in case metadata follow the pixels.
        return exif_orientation(lambda: Image.Image.getexif(image))
    return exif_orientation(image.getexif)


def _has_late_metadata(image: Image.Image) -> bool:
    """True where a PNG has text or EXIF chunks behind its pixels. Reads chunk headers only."""
    file = getattr(image, "fp", None)
    if file is None:
        return True
    position = file.tell()
    try:
        file.seek(8)
        pixels_seen = False
        while len(header := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            if pixels_seen and kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
                return True
            pixels_seen = pixels_seen or kind == b"IDAT"
            file.seek(length + 4, os.SEEK_CUR)
        return False
    finally:
        file.seek(position)


def exif_orientation(read_exif: Any) -> int:
    """EXIF orientation 1 to 8; 1, upright, where there is none or it is malformed."""
    try:
        value = read_exif().get(ExifTags.Base.Orientation)
    except Exception:  # a malformed EXIF block says nothing, and the pixels are still good
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror ``(H, W[, C])`` as the EXIF orientation asks.

    In NumPy and not by ``ImageOps.exif_transpose``, which also rewrites the EXIF block and fails
    on images whose other tags are malformed.
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)  # 5: mirrored at the main diagonal
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
