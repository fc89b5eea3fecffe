"""Thumbnail cache: a small JPEG per picture, made once and kept beside the project's pictures."""

from __future__ import annotations

import threading
from pathlib import Path

from blemish._files import atomic_write
from blemish.serving.decoding import decoded
from blemish.serving.drawing import drawn_anew, shown_as_it_is, thumbnail

_FOLDER = ".thumbnails"


class Thumbnails:
    """The small pictures of a project, by product and name: marking a picture moves none."""

    def __init__(self, project: Path, pixels: int) -> None:
        self._folder, self._pixels = project / _FOLDER, pixels
        # Decoded pictures are large: two at once at most.
        self._drawing = threading.BoundedSemaphore(2)

    def put(self, product: str, name: str, small: bytes) -> None:
        """Keep one that was made while the picture was at hand."""
        target = self._path(product, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as file:
            file.write(small)

    def forget(self, product: str, name: str) -> None:
        """Drop one: another picture has its name now."""
        self._path(product, name).unlink(missing_ok=True)

    def of(self, picture: Path, product: str) -> bytes:
        """The small JPEG of a file; refused (4xx) where it cannot be read."""
        kept = self._path(product, picture.name)
        try:
            if kept.stat().st_mtime_ns >= picture.stat().st_mtime_ns:
                return kept.read_bytes()
        except OSError:
            pass  # not made yet
        with self._drawing:
            image = decoded(picture.read_bytes(), picture.name, bit_depth=16, most=self._pixels)
            small = thumbnail(image)
        self.put(product, picture.name, small)
        return small

    def shown(self, picture: Path) -> tuple[bytes, str]:
        """A picture at its own size, as a browser can show it, with its type."""
        content = picture.read_bytes()
        as_it_is = shown_as_it_is(content)
        if as_it_is is not None:
            return as_it_is
        with self._drawing:
            return drawn_anew(decoded(content, picture.name, bit_depth=16, most=self._pixels))

    def _path(self, product: str, name: str) -> Path:
        return self._folder / product / f"{name}.jpg"
