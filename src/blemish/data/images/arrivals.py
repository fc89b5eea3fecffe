"""Folder watching: pictures as they arrive, complete ones only, in the order of their arrival.

A camera or a network copy needs time to write a file, and nothing in a file system says that it is
finished. A file counts as complete once its size and time have not changed for a while *and* it
can be decoded; one that cannot is looked at again when it has changed, and given up when it has
not for long. Files that are renamed into place when finished are whole from the start. Hidden
files and those without the suffix of an image (``.tmp``, ``.part``) are not looked at.

Polling, because notifications do not cross network shares.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from blemish.data.images.image_list import image_files, natural_key
from blemish.errors import DataError

#: What changes when a file does: inode, size, time of the last change.
Signature = tuple[int, int, int]


@dataclass
class _Waiting:
    signature: Signature
    since: float  # when it was first seen like this, in seconds of the clock
    reason: str = ""  # why it could not be decoded as it is; empty before it was tried


class Arrivals:
    """What is new in folders, each time it is asked.

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
        if not path.is_dir():
            found = "is a file" if path.exists() else "does not exist"
            raise DataError(
                f"{path} {found}. --watch needs the folder in which pictures arrive; create it "
                "first if the line has not yet."
            )
    return list(paths)
