"""Watched folder as a camera: its pictures in the order in which they arrive, none left out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

from blemish.cameras.frame import Frame
from blemish.data.images.image_list import Arrivals
from blemish.data.images.reading import read_image
from blemish.errors import ImageError

#: Seconds between two looks.
_EVERY = 0.1


class FolderCamera:
    """Pictures that are in a folder and that arrive there."""

    waits, ends = True, False

    def __init__(self, folder: Path, on_note: Callable[[str], None], *, bit_depth: int) -> None:
        self.name = folder.name
        self._folder, self._note, self._depth = folder, on_note, bit_depth
        self._arrivals = Arrivals([folder])

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Frames until told to stop; what cannot be read is tried again, and then said."""
        arrivals = self._arrivals
        while not stop.is_set():
            ready = arrivals.poll()
            if arrivals.unreachable:
                raise ImageError(arrivals.unreachable)
            for path in ready:
                try:
                    pixels = read_image(path, bit_depth=self._depth)
                except ImageError as error:
                    arrivals.retry(path, str(error))
                    continue
                name = path.relative_to(self._folder).as_posix()
                yield Frame(pixels, time.time(), name=name)
                arrivals.finish(path)
            for _, reason in arrivals.given_up():
                self._note(f"Given up: {reason}")
            if not ready:
                stop.wait(_EVERY)
