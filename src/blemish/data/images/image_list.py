"""Image lists: which files of a folder are images, in a fixed order, or as they arrive whole."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from blemish.errors import DataError
from blemish.stores.urls import as_url, shown

IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("png", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib", "tif", "tiff", "webp"),
        *("pgm", "ppm", "pnm", "pbm", "jp2", "j2k", "jpf", "jpx", "j2c", "gif"),
    )
)
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
    if as_url(folder):
        from blemish.stores.remote import list_files

        there = (path.relative_to(folder).parts for path in list_files(folder, recursive=recursive))
        return sorted(
            (Path(folder, *parts) for parts in there if _is_seen(parts)),
            key=natural_key,
        )
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


def _is_seen(parts: Sequence[str]) -> bool:
    """Whether a file, by its names from a folder inwards, is one of its images."""
    return is_image_name(parts[-1]) and all(map(is_visible_folder_name, parts[:-1]))


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


#: What changes when a file does: inode, size, time of the last change.
Signature = tuple[int, int, int]


@dataclass
class _Waiting:
    signature: Signature
    since: float  # when it was first seen like this, in seconds of the clock
    reason: str = ""  # why it could not be decoded as it is; empty before it was tried


class Arrivals:
    """Folder watching: what is new and complete in folders, each time it is asked.

    A camera or a network copy needs time to write a file, and nothing in a file system says that
    it is finished. A file counts as complete once its size and time have not changed for a while
    *and* it can be decoded; one that cannot is looked at again when it has changed, and given up
    when it has not for long. Files that are renamed into place when finished are whole from the
    start. Polling, because notifications do not cross network shares.

    A file is handed out by :meth:`poll`; the caller answers with :meth:`finish` when it was judged
    and with :meth:`retry` when it could not be decoded. A finished file that changes afterwards,
    as when a camera always writes to the same name, counts as a new picture.

    Args:
        settle: Seconds for which a file must not have changed; 0 where pictures are renamed into
            place.
        give_up: Seconds after its last change at which a file that cannot be decoded is given up.

    Attributes:
        unreachable: Why a folder could not be listed the last time, empty when all is well. What
            is known of its files is kept meanwhile: a network share comes back.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        recursive: bool = True,
        settle: float = 0.5,
        give_up: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folders, self.recursive = tuple(folders), recursive
        self.settle, self.give_up, self.clock = settle, give_up, clock
        self.unreachable = ""
        self._waiting: dict[Path, _Waiting] = {}
        self._finished: dict[Path, Signature] = {}
        self._lost: list[tuple[Path, str]] = []

    def poll(self) -> list[Path]:
        """The files that have become ready since, the earliest first."""
        try:
            found = self._scan()
            self.unreachable = ""
        except OSError as error:
            self.unreachable = str(error)
            return []
        now = self.clock()
        # What has left the folder is forgotten: memory follows the folder, not the line's life.
        self._finished = {p: s for p, s in self._finished.items() if p in found}
        self._waiting = {p: w for p, w in self._waiting.items() if p in found}
        ready = [path for path, seen in found.items() if self._is_ready(path, seen, now)]
        return sorted(ready, key=lambda path: (found[path][2], natural_key(path)))

    def finish(self, path: Path) -> None:
        """The file was judged, or needs no judging."""
        waiting = self._waiting.pop(path, None)
        if waiting is not None:
            self._finished[path] = waiting.signature

    def retry(self, path: Path, reason: str) -> None:
        """The file could not be decoded: wait until it changes, or give it up."""
        waiting = self._waiting.get(path)
        if waiting is not None:
            waiting.reason = reason

    def given_up(self) -> list[tuple[Path, str]]:
        """The files that :meth:`poll` has given up since this was last asked, with the reason."""
        lost, self._lost = self._lost, []
        return lost

    @property
    def pending(self) -> int:
        """Number of files that are not complete yet."""
        return len(self._waiting)

    def _is_ready(self, path: Path, seen: Signature, now: float) -> bool:
        if self._finished.get(path) == seen:
            return False
        waiting = self._waiting.get(path)
        if waiting is None or waiting.signature != seen:
            waiting = self._waiting[path] = _Waiting(seen, now)
        quiet = now - waiting.since
        if waiting.reason or seen[1] == 0:  # an empty file needs no decoder to be incomplete
            if quiet >= self.give_up:
                self._lost.append((path, waiting.reason or f"{path} is still empty (0 bytes)."))
                self.finish(path)
            return False
        return quiet >= self.settle

    def _scan(self) -> dict[Path, Signature]:
        found: dict[Path, Signature] = {}
        for path in image_files(self.folders, recursive=self.recursive):
            with contextlib.suppress(FileNotFoundError):  # gone already
                status = path.stat()
                found[path] = (status.st_ino, status.st_size, status.st_mtime_ns)
        return found


def folders_to_watch(paths: Sequence[Path]) -> list[Path]:
    """The paths, after checking that each is a folder."""
    for path in paths:
        if as_url(path):
            raise DataError(
                f"{shown(path)} is in an object store, which --watch cannot look into. Give a "
                "folder of this machine."
            )
        if not path.is_dir():
            found = "is a file" if path.exists() else "does not exist"
            raise DataError(
                f"{path} {found}. --watch needs the folder in which pictures arrive; create it "
                "first if the line has not yet."
            )
    return list(paths)
