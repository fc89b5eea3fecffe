"""A camera of one's own: a function that yields pictures, by the name of its module."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable
from importlib import import_module
from typing import Any

from blemish.cameras.frame import Frame
from blemish.data.images.preprocess import to_rgb
from blemish.errors import ConfigError


class ProgramCamera:
    """Frames of ``MODULE:FUNCTION``, which yields frames or arrays ``(H, W[, 3])``.

    Raises:
        ConfigError: The module cannot be imported, or has no such function.
    """

    waits, ends = False, False

    def __init__(self, target: str, *, bit_depth: int) -> None:
        module, _, function = target.partition(":")
        try:
            self._take: Callable[[], Iterable[Any]] = getattr(import_module(module), function)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"--source python:{target}: {error}. Expected python:MODULE:FUNCTION; the module "
                "must be where Python finds it, as with PYTHONPATH=. for one that is here."
            ) from error
        self.name, self._depth = function, bit_depth

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Frames until the function ends, raises, or is told to stop."""
        for picture in self._take():
            if stop.is_set():
                return
            if isinstance(picture, Frame):
                yield picture
            else:
                yield Frame(to_rgb(picture, bit_depth=self._depth), time.time())
