"""Addresses of cameras: ``camera:0``, ``rtsp://…``, ``udp://…``, a video, a folder, a program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from blemish.cameras.folder import FolderCamera
from blemish.cameras.frame import Camera
from blemish.cameras.program import ProgramCamera
from blemish.cameras.video import Video
from blemish.errors import ConfigError

_STREAMS = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "rtp", "srt")


def open_camera(
    address: str, on_note: Callable[[str], None] = print, *, bit_depth: int = 16
) -> Camera:
    """The camera at an address; nothing is asked of it before its frames are.

    Args:
        address: ``camera:0``, the first camera of this machine; the URL of a stream; a video file;
            a folder in which pictures arrive; ``python:MODULE:FUNCTION``. Behind ``#``, separated
            by ``&``, FFmpeg's options for it.
        on_note: Called with what a person at the line should know.
        bit_depth: Bits in use in 16-bit pictures.

    Raises:
        ConfigError: It is none of these.
        MissingExtraError: It needs PyAV, which is not installed.

    Example:
        >>> import tempfile
        >>> from blemish.cameras.address import open_camera
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     open_camera(folder).waits
        True
    """
    if Path(address).is_dir():
        return FolderCamera(Path(address), on_note, bit_depth=bit_depth)
    plain, _, given = address.partition("#")
    options = dict(parse_qsl(given))
    kind, colon, rest = plain.partition(":")
    if kind == "python" and colon:
        return ProgramCamera(rest, bit_depth=bit_depth)
    if kind == "camera" and rest:
        return Video(plain, f"camera-{rest}", ends=False, options=options)
    if kind in _STREAMS and rest.startswith("//"):
        return Video(plain, _stream_name(plain), ends=False, options=options)
    for path, more in ((Path(address), {}), (Path(plain), options)):
        if path.is_file():
            return Video(str(path), path.name, ends=True, options=more)
    raise ConfigError(
        f"--source {plain}: no file or folder is there. Expected camera:0, a stream such as "
        "rtsp://HOST/PATH or udp://HOST:PORT, a video file, a folder in which pictures arrive, or "
        "python:MODULE:FUNCTION."
    )


def _stream_name(address: str) -> str:
    """Host, port and path: a password or a query belongs in no file name and no message."""
    parts = urlsplit(address)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise ConfigError(f"--source: the port of a {parts.scheme} address is none.") from error
    return f"{parts.hostname or parts.scheme}{port}{parts.path.rstrip('/')}"
