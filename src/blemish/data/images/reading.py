"""Image files: one function reads them all, by fixed rules and with one kind of error.

Formats: PNG, JPEG, BMP, TIFF and WebP, told by content and not by suffix. Every image becomes
``(H, W, 3)`` uint8 by the rules of :mod:`blemish.data.images.preprocess`, with these additions:

- The EXIF orientation is applied, here and in :func:`image_size`.
- Of an animated or multi-page file the first frame is read.
- Palette, 1-bit and grey images become RGB; CMYK by Pillow's plain formula; embedded colour
  profiles are not applied.
- 32-bit integer images count as 16-bit when no value exceeds 65535, and are refused otherwise.
- Colour images with 16 bits per channel keep their upper 8 bits, which is all Pillow delivers.
- A TIFF that declares fewer than 16 bits per sample is scaled by what it declares.

Pillow's own ``Image.open`` compares with one limit for the whole process. The file is therefore
handed to the format's reader directly and compared with the caller's limit, which changes nothing
for other users of Pillow in the same program.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from blemish.data.images.preprocess import (
    check_bit_depth,
    composite_on_black,
    full_scale,
    grey_to_rgb,
    to_rgb,
)
from blemish.errors import DataError, ImageError, TooManyPixelsError, UnknownFormatError

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
_WITH_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
_PLAIN = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of its image before any pixel is decoded.

    Attributes:
        size: ``(H, W)`` in pixels, after the EXIF orientation.
        mode: Pillow's name of the pixel format, e.g. ``L``, ``RGB``, ``I;16``.
        format: ``PNG``, ``JPEG``, ``MPO`` (a JPEG with several pictures), ``BMP``, ``TIFF`` or
            ``WEBP``.
    """

    size: tuple[int, int]
    mode: str
    format: str


def read_image(
    path: str | Path, *, bit_depth: int = 16, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """The image in a file, as RGB, the right way up: ``(H, W, 3)`` uint8, contiguous.

    Args:
        path: A PNG, JPEG, BMP, TIFF or WebP file.
        bit_depth: Bits in use in 16-bit grey images; 10, 12 or 14 for cameras that store fewer
            than 16. Other images are not affected.
        max_pixels: Images with more pixels are refused before they are decoded: a file of a few
            kilobytes can otherwise fill the memory.

    Raises:
        ImageError: The file is missing, a folder, empty, not an image, cut short, damaged, too
            large, of an unsupported pixel format, or its values leave the stated range.
        ConfigError: A bit depth outside 8 to 16.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from blemish.data.images.reading import read_image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "part.png"
        ...     Image.new("L", (6, 4), 200).save(path)
        ...     read_image(path).shape
        (4, 6, 3)
    """
    if bit_depth != 16:
        check_bit_depth(bit_depth)
    path = Path(path)
    with _open_image(path, max_pixels) as image:
        return image_to_rgb(image, path, bit_depth)


def read_image_bytes(
    content: bytes, name: str, *, bit_depth: int = 16, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """As :func:`read_image`, for a file's content in memory; ``name`` is used in messages only."""
    if bit_depth != 16:
        check_bit_depth(bit_depth)
    path = Path(name)
    with io.BytesIO(content) as file:
        return image_to_rgb(open_header(file, path, max_pixels), path, bit_depth)


def read_mask(
    path: str | Path, *, expected_size: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """The raw pixel values ``(H, W)`` uint8 of a ground-truth mask; above 0 means defect.

    The values are not binarised: in MVTec LOCO and VisA they name the kind of defect. Palette
    images give the palette's indices; colour images the largest channel, transparent pixels 0;
    values above 255 become 255. A mask saved as JPEG carries compression noise around its
    edges: there, values below 128 count as 0.

    Raises:
        ImageError: The file cannot be read, or holds floats or negative numbers.
        DataError: Its size is not ``expected_size``, the ``(H, W)`` of the image it belongs to.
    """
    path = Path(path)
    with _open_image(path, max_pixels) as image:
        orientation = _decode(image, path)
        values = _mask_values(image, path)
        if image.format in ("JPEG", "MPO"):
            values = np.where(values < 128, 0, values).astype(np.uint8)
    mask = np.ascontiguousarray(_orient(values, orientation))  # (H, W)
    if expected_size is not None and mask.shape != tuple(expected_size):
        raise DataError(
            f"The mask {path} has {mask.shape[0]}×{mask.shape[1]} pixels (H×W), its image "
            f"{expected_size[0]}×{expected_size[1]}. Expected the same size: export the mask at "
            "the size of the image, without cropping."
        )
    return mask


def read_header(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """Size, pixel format and file format, without decoding the pixels.

    Raises:
        ImageError: The file is missing, a folder, empty, not an image, or too large. A file that
            is cut short behind its header is not noticed here.
    """
    with _open_image(Path(path), max_pixels) as image:
        width, height = _stored_size(image)
        if _header_orientation(image) >= 5:
            width, height = height, width
        return ImageHeader((height, width), image.mode, image.format or "")


def image_size(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """``(H, W)`` of the image that :func:`read_image` gives, from the header only."""
    return read_header(path, max_pixels=max_pixels).size


@contextmanager
def _open_image(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """The file with its header read, closed afterwards."""
    with open_file(path) as file:
        yield open_header(file, path, max_pixels)


def open_file(path: Path) -> IO[bytes]:
    """The file, open; an :class:`ImageError` says why it cannot be."""
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


def open_header(file: IO[bytes], path: Path, max_pixels: int) -> Image.Image:
    """The image in an open file with its header read. ``path`` is its name in messages only."""
    Image.init()  # registers the readers; does nothing the second time
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
    width, height = _stored_size(image)
    if width * height > max_pixels:
        raise TooManyPixelsError(
            f"Cannot read {path}: found {height}×{width} = {height * width:,} pixels. "
            f"Expected at most {max_pixels:,}; crop or shrink it, or raise max_pixels if the "
            "source can be trusted."
        )
    return image


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


def _decode(image: Image.Image, path: Path) -> int:
    """Decode the pixels, and return the EXIF orientation still to be applied, 1 to 8."""
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


def image_to_rgb(image: Image.Image, path: Path, bit_depth: int) -> NDArray[np.uint8]:
    """Decode, bring to RGB and turn the right way up; ``path`` is used in messages only."""
    if bit_depth != 16:
        # Pillow says in the tiles, until they are decoded, what it will cut to 8 bits.
        tiles = () if image.mode.startswith(("I", "F")) else getattr(image, "tile", ())
        if any(";16" in str(tile[3]) for tile in tiles):
            raise ImageError(
                f"Cannot read {path} with bit_depth={bit_depth}: found a colour image with 16 "
                "bits per channel, of which only the upper 8 bits can be read. Expected a grey "
                "image; re-save it with 8 bits per channel."
            )
    declared = getattr(image, "tag_v2", {}).get(258, 16)  # bits per sample of a TIFF
    declared = declared[0] if isinstance(declared, tuple) and declared else declared
    fewer = isinstance(declared, int) and 8 < declared < 16
    orientation = _decode(image, path)
    try:
        pixels = _rgb(image, path, min(bit_depth, declared) if fewer else bit_depth)
    except DataError as error:  # the rules for arrays do not know the file
        raise ImageError(f"Cannot read {path}: {error}") from error
    return np.ascontiguousarray(_orient(pixels, orientation))


def _rgb(image: Image.Image, path: Path, bits: int) -> NDArray[np.uint8]:
    mode = image.mode
    if mode == "I" or mode.startswith("I;16"):
        return grey_to_rgb(full_scale(_sixteen_bit(image, path), bits))
    if mode == "F":
        return to_rgb(np.asarray(image))
    if mode in _WITH_ALPHA or (mode in _PLAIN and "transparency" in image.info):
        return to_rgb(_rgba(image))
    if mode in _PLAIN:
        return np.asarray(image.convert("RGB"))
    raise ImageError(
        f"Cannot read {path}: found the pixel format {mode!r}. Expected grey, RGB, CMYK or "
        "palette, with or without alpha; re-save it as an RGB PNG."
    )


def _mask_values(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    mode = image.mode
    if mode == "P":
        return np.asarray(image)
    if mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    if mode == "I" or mode.startswith("I;16"):
        return np.minimum(_sixteen_bit(image, path), 255).astype(np.uint8)
    if mode not in (*_WITH_ALPHA, *_PLAIN):
        raise ImageError(
            f"Cannot read {path} as a mask: found the pixel format {mode!r}. Expected whole "
            "numbers, 0 for good and above 0 for defect; re-save it as an 8-bit grey PNG."
        )
    alpha = mode in _WITH_ALPHA
    pixels = composite_on_black(_rgba(image)) if alpha else np.asarray(image.convert("RGB"))
    largest: NDArray[np.uint8] = pixels.max(axis=2)  # (H, W)
    return largest


def _rgba(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "La":  # Pillow knows no direct way
        image = image.convert("LA")
    return np.asarray(image.convert("RGBA"))  # (H, W, 4)


def _sixteen_bit(image: Image.Image, path: Path) -> NDArray[np.uint16]:
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


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """``(width, height)`` as stored, before any orientation."""
    tags = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags is not None:
        # Pillow's size has the orientation in it or not, depending on its version.
        return int(tags[256]), int(tags[257])
    return image.size


def _header_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, from an image whose pixels are not decoded yet."""
    if image.format == "TIFF":
        return _exif_orientation(lambda: getattr(image, "tag_v2", {}))
    if image.format == "PNG" and "exif" not in image.info and not _has_late_metadata(image):
        # PNG's getexif decodes the whole image, in case metadata follow the pixels.
        return _exif_orientation(lambda: Image.Image.getexif(image))
    return _exif_orientation(image.getexif)


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
        value = read_exif().get(ExifTags.Base.Orientation)
    except Exception:  # a malformed EXIF block says nothing, and the pixels are still good
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _orient(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
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
