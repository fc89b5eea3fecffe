"""Opening and decoding an image file with Pillow, with errors that say what was found.

Pillow's own ``Image.open`` compares with one limit for the whole process. The file is therefore
handed to the format's reader directly and compared with the caller's limit, which changes nothing
for other users of Pillow in the same program.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray
from PIL import ExifTags, Image

from blemish.errors import ImageError, TooManyPixelsError, UnknownFormatError

MAX_PIXELS = 200_000_000
"""Largest image read by default, in pixels: 600 MB as RGB."""

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_EXPECTED = "Expected a PNG, JPEG, BMP, TIFF or WebP image"
_FOREIGN = (  # what is found under an image's name in practice
    (b"GIF8", "a GIF"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x93NUMPY", "a NumPy array file"),
    (b"version https://git-lfs", "a Git LFS pointer; the image itself was never downloaded"),
)


@contextmanager
def open_image(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """The file with its header read, closed afterwards.

    Raises:
        ImageError: Not an image of a known format, or more than ``max_pixels`` pixels.
    """
    if path.is_dir():
        raise ImageError(
            f"Cannot read {path}: it is a folder. Expected a file; list_images gives the images "
            "of a folder."
        )
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise ImageError(f"Cannot read {path}: there is no such file. Check the path.") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"Cannot read {path}: {error}. Check the file's permissions.") from error
    with file:
        yield open_header(file, path, max_pixels)


def open_header(file: IO[bytes], path: Path, max_pixels: int) -> Image.Image:
    """The image in an open file with its header read. ``path`` is its name in messages only.

    Raises:
        UnknownFormatError: Not an image of a known format.
        TooManyPixelsError: More than ``max_pixels`` pixels.
        ImageError: The beginning of an image whose header is damaged.
    """
    image = _identify(file, path)
    width, height = stored_size(image)
    if width * height > max_pixels:
        raise TooManyPixelsError(
            f"Cannot read {path}: found {height}×{width} = {height * width:,} pixels. "
            f"Expected at most {max_pixels:,}; crop or shrink it, or raise max_pixels if the "
            "source can be trusted."
        )
    return image


def decode(image: Image.Image, path: Path) -> int:
    """Decode the pixels, and return the EXIF orientation still to be applied, 1 to 8.

    Raises:
        ImageError: The file is cut short or damaged.
    """
    try:
        image.load()
    except Image.DecompressionBombError as error:  # TIFF checks once more on its own
        raise ImageError(
            f"Cannot read {path}: Pillow refuses TIFF files of this size ({error}). Convert it to "
            "PNG, or raise PIL.Image.MAX_IMAGE_PIXELS in your program."
        ) from error
    except Exception as error:  # a damaged file can raise nearly anything in a decoder
        raise ImageError(
            f"Cannot read {path}: found a {image.format} file that is cut short or damaged "
            f"({error}). Expected a complete image; copy or export it again."
        ) from error
    # A TIFF has applied its own orientation while loading, and forgotten it.
    return _exif_orientation(image.getexif)


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
        return _valid_orientation(getattr(image, "tag_v2", {}).get(ExifTags.Base.Orientation))
    if image.format == "PNG" and "exif" not in image.info and not _has_late_metadata(image):
        # PNG's getexif decodes the whole image, in case metadata follow the pixels.
        return _exif_orientation(lambda: Image.Image.getexif(image))
    return _exif_orientation(image.getexif)


def orient(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror ``(H, W[, C])`` as the EXIF orientation asks.

    In NumPy and not by ``ImageOps.exif_transpose``, which also rewrites the EXIF block and fails
    on images whose other tags are malformed.
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)  # 5: mirrored at the main diagonal
    flip_rows, flip_columns = {
        2: (False, True),
        3: (True, True),
        4: (True, False),
        6: (False, True),
        7: (True, True),
        8: (True, False),
    }.get(orientation, (False, False))
    if flip_rows:
        pixels = pixels[::-1]
    if flip_columns:
        pixels = pixels[:, ::-1]
    return pixels


def has_deep_colour(image: Image.Image) -> bool:
    """True for colour or grey-alpha with 16 bits per channel. Ask before decoding."""
    if image.mode.startswith(("I", "F")):
        return False
    tiles = getattr(image, "tile", [])
    return any(";16" in str(tile[3]) for tile in tiles)


def declared_bits(image: Image.Image) -> int:
    """Bits per sample a TIFF declares, where fewer than 16; otherwise 16."""
    bits = getattr(image, "tag_v2", {}).get(258, 16)
    first = bits[0] if isinstance(bits, tuple) and bits else bits
    return first if isinstance(first, int) and 8 < first < 16 else 16


def _identify(file: IO[bytes], path: Path) -> Image.Image:
    Image.init()  # registers the readers; does nothing the second time
    start = file.read(32)
    if not start:
        raise ImageError(f"Cannot read {path}: the file is empty (0 bytes). Copy it again.")
    failure: Exception | None = None
    for name in _FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        if factory is None or (accept is not None and accept(start) is not True):
            continue
        file.seek(0)
        try:
            return factory(file, os.fspath(path))
        except Exception as error:  # a damaged header can raise nearly anything
            failure = error
    if failure is not None:
        raise ImageError(
            f"Cannot read {path}: found the beginning of an image, but its header is cut short, "
            f"damaged, or says that there are no pixels ({failure}). "
            f"{_EXPECTED}; copy or export it again."
        ) from failure
    raise UnknownFormatError(
        f"Cannot read {path}: found {_foreign(start)}. {_EXPECTED}; convert it, or remove it "
        "from the data."
    )


def _foreign(start: bytes) -> str:
    for magic, name in _FOREIGN:
        if start.startswith(magic):
            return name
    if start[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file"
    try:
        text = start.decode("ascii")
    except UnicodeDecodeError:
        return f"an unknown format, first bytes {start[:8].hex(' ')}"
    return f"text beginning with {text.strip()[:24]!r}"


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


def _exif_orientation(read_exif: Any) -> int:
    try:
        return _valid_orientation(read_exif().get(ExifTags.Base.Orientation))
    except Exception:  # a malformed EXIF block says nothing, and the pixels are still good
        return 1


def _valid_orientation(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
