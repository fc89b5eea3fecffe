"""Image lists: which files of a folder are images, in an order that never changes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from blemish.errors import DataError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""Suffixes of image files, in lower case; compared without regard to case."""

_DIGITS = re.compile(r"([0-9]+)")
_NOT_OURS = frozenset({"__macosx", "$recycle.bin", "system volume information"})


def list_images(folder: str | Path, *, recursive: bool = True) -> list[Path]:
    """The image files in a folder, in natural order (``2.png`` before ``10.png``).

    Hidden files and folders are left out, and with them what systems leave behind: macOS's
    ``._*`` and ``__MACOSX``, ``Thumbs.db``. Linked folders are followed, each once.

    Raises:
        DataError: The folder does not exist, is a file, or cannot be read.
    """
    try:
        return sorted(image_files([Path(folder)], recursive=recursive), key=natural_key)
    except FileNotFoundError as error:
        raise DataError(f"There is no folder {error.filename}. Check the path.") from error
    except NotADirectoryError as error:
        raise DataError(f"{error.filename} is a file. Expected a folder of images.") from error
    except OSError as error:
        raise DataError(
            f"Cannot list the folder {error.filename}: {error}. Check its permissions."
        ) from error


def image_files(folders: Sequence[Path], *, recursive: bool) -> Iterator[Path]:
    """The image files in folders that exist, in no order; linked folders are followed, each once.

    Raises:
        OSError: A folder cannot be listed. One inside that has vanished meanwhile is left out.
    """
    waiting = list(folders)
    visited: set[tuple[int, int]] = set()
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in visited:  # a link that leads back
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                inside = list(entries)
        except FileNotFoundError:
            if folder in folders:
                raise
            continue  # removed between two looks
        for entry in inside:
            if is_image_name(entry.name) and entry.is_file():
                yield folder / entry.name
            elif recursive and is_visible_folder_name(entry.name) and entry.is_dir():
                waiting.append(folder / entry.name)


def is_image_name(name: str) -> bool:
    """Whether a file of this name counts as an image: a known suffix, not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def is_visible_folder_name(name: str) -> bool:
    """Whether a folder of this name may hold data: not hidden, not left behind by a system."""
    return not name.startswith(".") and name.lower() not in _NOT_OURS


def natural_key(path: str | Path) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key under which numbers inside names count as numbers; ties by the exact name.

    Example:
        >>> from blemish.data.images.image_list import natural_key
        >>> sorted(["b10", "B2", "a"], key=natural_key)
        ['a', 'B2', 'b10']
    """
    text = str(path)
    folded = text.casefold().replace("\\", "/").replace("/", "\0")  # a folder before its longer kin
    parts = tuple(
        (0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part)
        for part in _DIGITS.split(folded)
        if part
    )
    return parts, text
