"""Thumbnail cache: a small JPEG per picture, made once and kept beside the project's pictures.

By the file itself and not by its name: a picture that is moved to another role or product keeps its
thumbnail, and one that takes the name of another gets its own, whatever its time stamp says.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish._files import atomic_write
from blemish.data.images.reading import read_header
from blemish.errors import ConfigError
from blemish.serving.decoding import decoded
from blemish.serving.drawing import drawn_anew, shown_as_it_is, thumbnail
from blemish.serving.viewport import Box, Viewport
from blemish.studio.pictures import file_version

_FOLDER = ".thumbnails"


class Thumbnails:
    """The small pictures of a project, by the identity of their files."""

    def __init__(self, project: Path, pixels: int) -> None:
        self._folder, self._pixels = project / _FOLDER, pixels
        # Decoded pictures are large: two at once at most.
        self._drawing = threading.BoundedSemaphore(2)
        self._viewport = Viewport()

    def put(self, picture: Path, small: bytes) -> None:
        """Keep one that was made while the picture was at hand."""
        target = self._path(picture)
        with contextlib.suppress(OSError, ConfigError):  # it can be seen, and is made again
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(target) as file:
                file.write(small)

    def of(self, picture: Path) -> bytes:
        """The small JPEG of a file; refused (4xx) where it cannot be read."""
        with contextlib.suppress(OSError):  # not made yet
            return self._path(picture).read_bytes()
        with self._drawing:
            small = thumbnail(self._decoded(picture))
        self.put(picture, small)
        return small

    def shown(self, picture: Path) -> tuple[bytes, str]:
        """A picture at its own size, as a browser can show it, with its type."""
        content = picture.read_bytes()
        as_it_is = shown_as_it_is(content)
        if as_it_is is not None:
            return as_it_is
        with self._drawing:
            return drawn_anew(decoded(content, picture.name, bit_depth=16, most=self._pixels))

    def piece(self, picture: Path, box: Box, *, longest: int) -> bytes:
        """A piece of a picture as JPEG, as large as it is to be seen."""
        box.check(read_header(picture, max_pixels=self._pixels).size)
        key = file_version(picture)
        return self._viewport.piece(key, lambda: self._decoded(picture), box, longest=longest)

    def _decoded(self, picture: Path) -> NDArray[np.uint8]:
        return decoded(picture.read_bytes(), picture.name, bit_depth=16, most=self._pixels)

    def _path(self, picture: Path) -> Path:
        version = file_version(picture)
        return self._folder / version[-2:] / f"{version}.jpg"
