"""A camera that a test writes, and videos that it makes."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.cameras.frame import Frame


def grey(level: int, size: tuple[int, int] = (48, 64)) -> NDArray[np.uint8]:
    """A picture of one grey value."""
    return np.full((*size, 3), level, np.uint8)


class ScriptedCamera:
    """Gives what each run of its script holds: levels, pauses in seconds, errors to raise."""

    def __init__(
        self, *runs: Iterable[int | float | Exception], waits: bool = False, ends: bool = True
    ) -> None:
        self.name, self.waits, self.ends = "scripted", waits, ends
        self._runs = list(runs)

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """The next run; after the last one, nothing until told to stop."""
        if not self._runs:
            stop.wait(20)
            return
        for step in self._runs.pop(0):
            if isinstance(step, Exception):
                raise step
            if isinstance(step, float):
                stop.wait(step)
            else:
                yield Frame(grey(step), time.time())


def write_video(path: Path, pictures: Iterable[NDArray[np.uint8]], *, rate: int = 25) -> None:
    """A video of pictures ``(H, W, 3)``; the format follows from the name."""
    import av

    with av.open(str(path), "w") as container:
        stream = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "12"}
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        assert stream is not None
        container.mux(stream.encode())
