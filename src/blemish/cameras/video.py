"""Video decoding: cameras of this machine, network streams and video files, through PyAV (FFmpeg).

A file is played at its own pace, as the camera that took it would have delivered it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator
from typing import Any

from blemish.cameras.frame import Frame
from blemish.errors import MissingExtraError

#: Seconds for a stream to open, and for its next picture; told to stop, it stops within these.
_PATIENCE = (5.0, 3.0)
#: FFmpeg's options by the beginning of an address: what is shown is what is there now.
_OPTIONS = {
    "rtsp": {"rtsp_transport": "tcp", "fflags": "nobuffer"},
    "udp": {"fflags": "nobuffer", "overrun_nonfatal": "1"},
}
#: How each system calls the cameras that are plugged in: FFmpeg's format, and the first one's name.
_DEVICES = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}


class Video:
    """Frames of whatever FFmpeg plays.

    Args:
        address: Of a stream, a file, or ``camera:0``.
        name: For the names of its pictures.
        ends: Whether it is a file.
        options: For FFmpeg, such as ``{"video_size": "1280x720"}``.

    Raises:
        MissingExtraError: PyAV is not installed.
    """

    waits = False

    def __init__(
        self, address: str, name: str, *, ends: bool, options: dict[str, str] | None = None
    ) -> None:
        try:
            import av  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtraError("Pictures of cameras, streams and videos", "camera") from error
        self.address, self.name, self.ends = address, name, ends
        self._options = options or {}

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Frames until the end of the file, or an error of FFmpeg's."""
        import av

        with av.open(timeout=_PATIENCE, **self._how()) as container:
            video = container.streams.video[0]
            step = 1 / float(video.average_rate or 25)
            started = time.monotonic()
            for number, picture in enumerate(container.decode(video)):
                if stop.is_set():
                    return
                if self.ends:
                    due = number * step if picture.time is None else picture.time
                    if stop.wait(max(0.0, started + due - time.monotonic())):
                        return
                yield Frame(picture.to_ndarray(format="rgb24"), time.time())

    def _how(self) -> dict[str, Any]:
        kind, _, rest = self.address.partition(":")
        if kind != "camera":
            return {"file": self.address, "options": {**_OPTIONS.get(kind, {}), **self._options}}
        system, name = _DEVICES.get(sys.platform, ("dshow", "video={}"))
        return {"file": name.format(rest), "format": system, "options": self._options}
