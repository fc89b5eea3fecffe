"""TIFF's library: kept from writing to the terminal, and what it cannot read told by its tags.

libtiff prints warnings and errors of its own, a line for each strip of a damaged file. What matters
of them is in the error that reading raises. Silenced for the whole process, once, where the library
that Pillow brings can be found.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache
from pathlib import Path
from typing import IO

import PIL
from PIL.TiffImagePlugin import ImageFileDirectory_v2


@cache
def quiet_libtiff() -> bool:
    """Silence libtiff; whether it was found."""
    package = Path(PIL.__file__).parent
    places = (package.parent / "pillow.libs", package.parent / "Pillow.libs", package / ".dylibs")
    found = [str(path) for place in places for path in place.glob("libtiff*")]
    for name in found or filter(None, [ctypes.util.find_library("tiff")]):
        try:
            library = ctypes.CDLL(name)
            for handler in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
                handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
                handler(None)
        except (OSError, AttributeError):
            continue
        return True
    return False


def tiff_depth(file: IO[bytes]) -> str:
    """Bits per sample of a TIFF in words, where Pillow knows no way to read as many; else empty."""
    try:
        file.seek(0)
        directory = ImageFileDirectory_v2(file.read(8))
        file.seek(directory.next)
        directory.load(file)
        bits, inverted = directory.get(258), directory.get(262) == 0
    except Exception:  # a damaged file can raise nearly anything
        return ""
    if not bits or (set(bits) <= {1, 8, 16} and not inverted):
        return ""
    each = "/".join(map(str, sorted(set(bits))))
    packed = " (packed)" if any(depth % 8 for depth in bits) else ""
    return f"{each} bits per sample{packed}{' where 0 is white' if inverted else ''}"
