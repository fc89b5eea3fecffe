"""Image files: one function reads them all, by fixed rules and with one kind of error.

Formats: PNG, JPEG, BMP, TIFF, WebP, PGM and PPM, JPEG 2000 and GIF, told by content and not by
suffix. Every image becomes ``(H, W, 3)`` uint8 by the rules of
:mod:`blemish.data.images.preprocess`, with these additions:

- The EXIF orientation is applied, here and in :func:`image_size`.
- Of an animated or multi-page file the first frame is read.
- Palette, 1-bit and grey images become RGB; CMYK by Pillow's plain formula; embedded colour
  profiles are not applied.
- 32-bit integer images count as 16-bit when no value exceeds 65535, and are refused otherwise.
- Colour images with 16 bits per channel keep their upper 8 bits, which is all Pillow delivers.
- A file that declares fewer than 16 bits per sample (TIFF, PGM, JPEG 2000) is scaled by what it
  declares. Where a TIFF says that 0 is white, so it is.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.data.images.open_file import MAX_PIXELS, open_header, open_image
from blemish.data.images.orientation import (
    exif_orientation,
    header_orientation,
    stored_size,
    turned,
)
from blemish.data.images.polygons import is_polygons, polygon_mask
from blemish.data.images.preprocess import (
    check_bit_depth,
    composite_on_black,
    full_scale,
    grey_to_rgb,
    to_rgb,
)
from blemish.data.images.sixteen_bit import (
    bits_in_use,
    depth_note,
    sixteen_bit_values,
    zero_is_white,
)
from blemish.errors import DataError, ImageError
from blemish.results import Note
from blemish.stores.urls import shown

_WITH_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
_PLAIN = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")
#: Pixels that are brought to RGB at a time.
_STRIP = 4_000_000

#: Told what reading a picture has found.
OnNote = Callable[[Note], None]


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of its image before any pixel is decoded.

    Attributes:
        size: ``(H, W)`` in pixels, after the EXIF orientation.
        mode: Pillow's name of the pixel format, e.g. ``L``, ``RGB``, ``I;16``.
        format: Pillow's name of the file format, such as ``PNG`` or ``MPO`` (a JPEG with several
            pictures).
        frames: Pages of a TIFF, frames of a GIF or WebP; the first is read.
    """

    size: tuple[int, int]
    mode: str
    format: str
    frames: int = 1


def read_image(
    path: str | Path,
    *,
    bit_depth: int = 16,
    max_pixels: int = MAX_PIXELS,
    on_note: OnNote | None = None,
) -> NDArray[np.uint8]:
    """The image in a file, as RGB, the right way up: ``(H, W, 3)`` uint8, contiguous.

    Args:
        path: A file of one of the formats above.
        bit_depth: Bits in use in 16-bit grey images; 10, 12 or 14 for cameras that store fewer
            than 16. Other images are not affected.
        max_pixels: Images with more pixels are refused before they are decoded: a file of a few
            kilobytes can otherwise fill the memory.
        on_note: Told of further pages, which are not read, and of a depth that cannot be right.

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
    with open_image(Path(path), max_pixels) as image:
        return image_to_rgb(image, shown(path), bit_depth, on_note)


def read_with_largest(
    path: str | Path, *, bit_depth: int = 16
) -> tuple[NDArray[np.uint8], int | None]:
    """As :func:`read_image`, and the largest value of a 16-bit grey image as it is stored.

    ``None`` for other images, and for those that say themselves how many bits they use.
    """
    with open_image(Path(path), MAX_PIXELS) as image:
        deep = image.mode.startswith("I") and bits_in_use(image, 15) == 15
        pixels = image_to_rgb(image, Path(path), bit_depth)
        return pixels, int(sixteen_bit_values(image, Path(path)).max()) if deep else None


def read_image_bytes(
    content: bytes,
    name: str,
    *,
    bit_depth: int = 16,
    max_pixels: int = MAX_PIXELS,
    on_note: OnNote | None = None,
) -> NDArray[np.uint8]:
    """As :func:`read_image`, for a file's content in memory; ``name`` is used in messages only."""
    if bit_depth != 16:
        check_bit_depth(bit_depth)
    with io.BytesIO(content) as file:
        return image_to_rgb(open_header(file, name, max_pixels), name, bit_depth, on_note)


def read_mask(
    path: str | Path, *, expected_size: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """The raw pixel values ``(H, W)`` uint8 of a ground-truth mask; above 0 means defect.

    The values are not binarised: in MVTec LOCO and VisA they name the kind of defect. Palette
    images give the palette's indices; colour images the largest channel, transparent pixels 0;
    values above 255 become 255. A mask saved as JPEG carries compression noise around its
    edges: there, values below 128 count as 0. Polygons of LabelMe and COCO are filled; see
    :mod:`blemish.data.images.polygons`.

    Raises:
        ImageError: The file cannot be read, or holds floats or negative numbers.
        DataError: Its size is not ``expected_size``, the ``(H, W)`` of the image it belongs to.
    """
    path = Path(path)
    if is_polygons(path):
        mask = polygon_mask(path)  # (H, W)
    else:
        with open_image(path, max_pixels) as image:
            orientation = _decode(image, path)
            values = _mask_values(image, path)
            if image.format in ("JPEG", "MPO"):
                values = np.where(values < 128, 0, values).astype(np.uint8)
        mask = np.ascontiguousarray(turned(values, orientation))  # (H, W)
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
    with open_image(Path(path), max_pixels) as image:
        width, height = stored_size(image)
        if header_orientation(image) >= 5:
            width, height = height, width
        mode = image.mode
        return ImageHeader((height, width), mode, image.format or "", _frames(image))


def _frames(image: Image.Image) -> int:
    if image.format not in ("TIFF", "GIF", "WEBP"):
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # what follows the first may be damaged
        return 1


def image_size(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """``(H, W)`` of the image that :func:`read_image` gives, from the header only."""
    return read_header(path, max_pixels=max_pixels).size


def _decode(image: Image.Image, path: str | Path) -> int:
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
    return exif_orientation(image.getexif)


def image_to_rgb(
    image: Image.Image, path: str | Path, bit_depth: int, on_note: OnNote | None = None
) -> NDArray[np.uint8]:
    """Decode, bring to RGB and turn the right way up; ``path`` is used in messages only."""
    if bit_depth != 16:
        # Pillow says in the tiles, until they are decoded, what it will cut to 8 bits.
        tiles = () if image.mode.startswith(("I", "F")) else getattr(image, "tile", ())
        if any(";16" in str(tile[3]) or "65535" in str(tile[3]) for tile in tiles):
            raise ImageError(
                f"Cannot read {path} with bit_depth={bit_depth}: found a colour image with 16 "
                "bits per channel, of which only the upper 8 bits can be read. Expected a grey "
                "image; re-save it with 8 bits per channel."
            )
    bits = bits_in_use(image, bit_depth)
    deep = on_note is not None and image.mode.startswith("I") and bits_in_use(image, 15) == 15
    pages = _frames(image) if on_note is not None and image.tell() == 0 else 1
    orientation = _decode(image, path)
    try:
        pixels = _rgb(image, path, bits)
    except DataError as error:  # the rules for arrays do not know the file
        raise ImageError(f"Cannot read {path}: {error}") from error
    if on_note is not None:
        if pages > 1:
            on_note(_pages_note(pages))
        found = depth_note(int(sixteen_bit_values(image, path).max()), bit_depth) if deep else None
        if found is not None:
            on_note(found)
    return np.ascontiguousarray(turned(pixels, orientation))


def _pages_note(pages: int) -> Note:
    return Note(
        "pages",
        f"It holds {pages} pages or frames, of which only the first is judged. Save each page as a "
        "file of its own to have them all judged.",
    )


def _rgb(image: Image.Image, path: str | Path, bits: int) -> NDArray[np.uint8]:
    mode = image.mode
    if mode == "I" or mode.startswith("I;16"):
        grey = full_scale(sixteen_bit_values(image, path), bits)
        return grey_to_rgb(255 - grey if zero_is_white(image) else grey)
    if mode == "F":
        return to_rgb(np.asarray(image))
    if mode in _WITH_ALPHA or (mode in _PLAIN and "transparency" in image.info):
        return to_rgb(_rgba(image))
    if mode in _PLAIN:
        return _in_strips(image)
    raise ImageError(
        f"Cannot read {path}: found the pixel format {mode!r}. Expected grey, RGB, CMYK or "
        "palette, with or without alpha; re-save it as an RGB PNG."
    )


def _in_strips(image: Image.Image) -> NDArray[np.uint8]:
    """``(H, W, 3)`` of a plain image; at once, Pillow would copy a large one three times over."""
    width, height = image.size
    rows = max(1, _STRIP // width)
    if height <= rows:
        return np.asarray(image.convert("RGB"))
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        pixels[top : top + rows] = np.asarray(strip.convert("RGB"))
    return pixels


def _mask_values(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    mode = image.mode
    if mode == "P" and image.format != "GIF":  # which orders its colours as it likes
        return np.asarray(image)
    if mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    if mode == "I" or mode.startswith("I;16"):
        values = sixteen_bit_values(image, path)
        values = 65535 - values if zero_is_white(image) else values
        return np.minimum(values, 255).astype(np.uint8)
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
