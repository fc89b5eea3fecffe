"""Frame: one picture of a camera, with when it was taken and which part it shows.

An adaptor is an object with a name and an iterator of frames: nothing else is asked of a camera.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One picture as it was taken.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB.
        taken: When, in seconds since 1970.
        part: What the trigger calls the part; empty where it says nothing.
        name: Of the file it comes from, where there is one.

    Example:
        >>> import numpy as np
        >>> from blemish.cameras.frame import Frame
        >>> Frame(np.zeros((4, 6, 3), np.uint8), taken=0.0, part="4711").part
        '4711'
    """

    pixels: NDArray[np.uint8] = field(repr=False, compare=False)
    taken: float
    part: str = ""
    name: str = ""


class Camera(Protocol):
    """Where frames come from.

    Attributes:
        name: For the names of its pictures, without password.
        waits: Whether pictures wait until somebody takes them, as files do; those of a camera are
            gone.
        ends: Whether its last picture is the end; otherwise it is opened again.
    """

    name: str
    waits: bool
    ends: bool

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Frames from now on, until it is told to stop or there are no more.

        Raises:
            Exception: It cannot be reached, or no more; said, and tried again.
        """
