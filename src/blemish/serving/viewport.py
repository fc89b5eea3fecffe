"""Viewport: the piece of a large kept picture that somebody looks at, at their screen's size.

A picture of 64 megapixels is not sent to be looked at. The one looked at last stays decoded, so
that moving about in it costs a crop.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Hashable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.serving.limits import RefusalError

#: Pixels of a piece's longer side at most: a large screen's.
MOST = 4096


class Box(NamedTuple):
    """A piece of a picture, in its pixels."""

    left: int
    top: int
    width: int
    height: int

    def check(self, size: tuple[int, int]) -> Box:
        """Refuse (422) one that is not inside a picture of ``size`` ``(H, W)``."""
        across, down = self.left + self.width, self.top + self.height
        if min(self) < 0 or not (self.left < across <= size[1] and self.top < down <= size[0]):
            raise RefusalError(
                422,
                "no_such_piece",
                f"Found a piece of {self.width}×{self.height} at {self.left}, {self.top}; expected "
                f"one of a pixel or more inside the picture, which has {size[1]}×{size[0]}.",
            )
        return self


class Viewport:
    """Pieces of pictures as JPEG; of one picture the pixels are kept.

    Example:
        >>> import io
        >>> import numpy as np
        >>> from PIL import Image
        >>> from blemish.serving.viewport import Box, Viewport
        >>> picture = np.zeros((400, 600, 3), np.uint8)
        >>> piece = Viewport().piece(1, lambda: picture, Box(0, 0, 300, 200), longest=150)
        >>> Image.open(io.BytesIO(piece)).size
        (150, 100)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[Hashable, Image.Image] | None = None

    def piece(
        self, key: Hashable, decode: Callable[[], NDArray[np.uint8]], box: Box, *, longest: int
    ) -> bytes:
        """A piece, scaled down where its longer side has more than ``longest`` pixels.

        Args:
            key: Of the picture, under which it never changes.
            decode: Gives its pixels ``(H, W, 3)``; called where it is not the last one.
            box: Which piece; checked already.
            longest: Pixels.
        """
        with self._lock:  # of large pictures one is decoded at a time
            if self._last is None or self._last[0] != key:
                self._last = None  # let go before the next takes its place
                self._last = key, Image.fromarray(decode())
            picture = self._last[1]
        left, top, width, height = box
        scale = min(1.0, longest / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        around = (left, top, left + width, top + height)
        if size == (width, height):
            shown = picture.crop(around)
        else:
            shown = picture.resize(size, Image.Resampling.BILINEAR, around, reducing_gap=2.0)
        file = io.BytesIO()
        # Thin cracks keep their colour: no chroma is left out.
        shown.save(file, "JPEG", quality=90, subsampling=0)
        return file.getvalue()
