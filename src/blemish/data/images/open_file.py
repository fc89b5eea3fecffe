"""Image headers: a file opened by what is in it, or refused by a sentence that names what it is.

Formats are told by content and not by suffix. Pillow's own ``Image.open`` compares with one limit
for the whole process. The file is therefore handed to the format's reader directly and compared
with the caller's limit, which changes nothing for other users of Pillow in the same program.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image

from blemish.data.images.foreign import WHAT_TO_DO
from blemish.data.images.libtiff import quiet_libtiff, tiff_depth
from blemish.data.images.orientation import stored_size
from blemish.errors import ImageError, TooManyPixelsError, UnknownFormatError
from blemish.stores.urls import as_url, shown

MAX_PIXELS = 200_000_000
"""Largest image read by default, in pixels: 600 MB as RGB."""

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "GIF")
_EXPECTED = "Expected a PNG, JPEG, BMP, TIFF, WebP, PGM, PPM, JPEG 2000 or GIF image"
_FOREIGN = (  # what is found under an image's name in practice
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x93NUMPY", "a NumPy array file"),
    (b"version https://git-lfs", "a Git LFS pointer; the image itself was never downloaded"),
)


@contextmanager
def open_image(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """The file with its header read, closed afterwards."""
    with open_file(path) as file:
        yield open_header(file, shown(path), max_pixels)


def open_file(path: Path) -> IO[bytes]:
    """The file, open; an :class:`ImageError` says why it cannot be.

    A remote one is read whole. A store that does not answer is a :class:`StoreError`, which is no
    property of the picture.
    """
    remote = as_url(path)
    if remote is not None:
        from blemish.stores.remote import read_bytes

        try:
            return io.BytesIO(read_bytes(path))
        except FileNotFoundError as error:
            raise ImageError(f"Cannot read {remote}: there is no such file.") from error
    if path.is_dir():
        raise ImageError(
            f"Cannot read {path}: it is a folder. Expected a file; list_images gives the images "
            "of a folder."
        )
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise ImageError(f"Cannot read {path}: there is no such file. Check the path.") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"Cannot read {path}: {error}. Check the file's permissions.") from error


def open_header(file: IO[bytes], path: str | Path, max_pixels: int) -> Image.Image:
    """The image in an open file with its header read. ``path`` is its name in messages only."""
    Image.init()  # registers the readers; does nothing the second time
    quiet_libtiff()
    start = file.read(32)
    if not start:
        raise ImageError(f"Cannot read {path}: the file is empty (0 bytes). Copy it again.")
    image: Image.Image | None = None
    failure: Exception | None = None
    for name in _FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        if factory is None or (accept is not None and accept(start) is not True):
            continue
        file.seek(0)
        try:
            image = factory(file, os.fspath(path))
            break
        except Exception as error:  # a damaged header can raise nearly anything
            failure = error
    if image is None and failure is not None:
        if packed := tiff_depth(file) if start[:2] in (b"II", b"MM") else "":
            raise ImageError(
                f"Cannot read {path}: found a TIFF with {packed}, which cannot be read. Export it "
                "with 8 or 16 bits per sample; where a camera fills fewer than 16, give "
                "--bit-depth."
            ) from failure
        raise ImageError(
            f"Cannot read {path}: found the beginning of an image, but its header is cut short, "
            f"damaged, or says that there are no pixels ({failure}). "
            f"{_EXPECTED}; copy or export it again."
        ) from failure
    if image is None:
        raise UnknownFormatError(
            f"Cannot read {path}: found {_foreign(start)}. {_EXPECTED}; convert it, or remove it "
            "from the data."
        )
    if 50706 in getattr(image, "tag_v2", ()):  # DNGVersion: Pillow would give its thumbnail
        raise ImageError(f"Cannot read {path}: found {WHAT_TO_DO['.dng']}.")
    width, height = stored_size(image)
    if width * height > max_pixels:
        raise TooManyPixelsError(
            f"Cannot read {path}: found {height}×{width} = {height * width:,} pixels. "
            f"Expected at most {max_pixels:,}; crop or shrink it. A program may raise max_pixels "
            "if the source can be trusted."
        )
    return image


def _foreign(start: bytes) -> str:
    for magic, name in _FOREIGN:
        if start.startswith(magic):
            return name
    if start[4:8] == b"ftyp":
        kind = {b"avif": ".avif", b"avis": ".avif", b"heic": ".heic", b"heix": ".heic"}
        return WHAT_TO_DO[kind.get(start[8:12], ".heic" if start[8:11] == b"mif" else ".mp4")]
    if start.startswith(b"\x1aE\xdf\xa3") or start[8:11] == b"AVI":
        return WHAT_TO_DO[".mp4"]
    try:
        text = start.decode("ascii")
    except UnicodeDecodeError:
        return f"an unknown format, first bytes {start[:8].hex(' ')}"
    return f"text beginning with {text.strip()[:24]!r}"
