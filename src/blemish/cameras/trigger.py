"""Trigger: which frames of a camera show a part that is to be judged."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.cameras.frame import Frame
from blemish.errors import ConfigError

#: Blocks per side whose means tell movement: small parts count, the noise of a pixel does not.
_BLOCKS = 24


class Trigger(Protocol):
    """Looks at every frame, in order."""

    def fires(self, frame: Frame) -> bool:
        """Whether this one is to be judged."""


class Every:
    """Frames that are at least so many seconds apart; 0: all."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self._last = float("-inf")

    def fires(self, frame: Frame) -> bool:
        """Whether enough time has passed."""
        passed = frame.taken - self._last
        if 0 <= passed < self._seconds - 1e-3:  # a clock that is set back must not stop a line
            return False
        self._last = frame.taken
        return True


class AtRest:
    """The first frame in which nothing has moved for a while after something has.

    Each frame is compared with the one in which the rest began, so that slow movement is movement.

    Args:
        seconds: Of rest.
        levels: Grey values by which the mean of a block differs where something moves.

    Example:
        >>> import numpy as np
        >>> from blemish.cameras.frame import Frame
        >>> from blemish.cameras.trigger import AtRest
        >>> there, gone = (np.full((48, 48, 3), grey, np.uint8) for grey in (200, 20))
        >>> trigger = AtRest(0.1)
        >>> pictures = [gone, there, there, there, there]
        >>> [trigger.fires(Frame(p, taken=0.08 * at)) for at, p in enumerate(pictures)]
        [False, False, False, True, False]
    """

    def __init__(self, seconds: float = 0.3, levels: float = 6.0) -> None:
        self._seconds, self._levels = seconds, levels
        self._rest: NDArray[np.float32] | None = None  # blocks of the frame in which it began
        self._since = 0.0
        self._moved = True  # what lies there at the beginning is judged too

    def fires(self, frame: Frame) -> bool:
        """Whether it has come to rest just now."""
        now = _blocks(frame.pixels)
        if self._rest is None or float(np.abs(now - self._rest).max()) > self._levels:
            self._moved = self._moved or self._rest is not None
            self._rest, self._since = now, frame.taken
        if self._moved and frame.taken - self._since >= self._seconds:
            self._moved = False
            return True
        return False


class OnCall:
    """Never by itself: only when somebody asks."""

    def fires(self, frame: Frame) -> bool:
        """No."""
        return False


def parse_trigger(text: str) -> Trigger:
    """``all``, ``every:SECONDS``, ``rest``, ``rest:SECONDS`` or ``call``.

    Raises:
        ConfigError: Anything else.
    """
    kind, _, value = text.partition(":")
    if text in ("all", "call"):
        return Every() if text == "all" else OnCall()
    try:
        seconds = float(value) if value or kind == "every" else 0.3
    except ValueError:
        seconds = -1.0
    if kind not in ("every", "rest") or not 0 <= seconds < 1e6:
        raise ConfigError(
            f"--trigger {text}: expected all, every:SECONDS, rest, rest:SECONDS or call."
        )
    return Every(seconds) if kind == "every" else AtRest(seconds)


def _blocks(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Means of the green channel over a grid, of every second row and column."""
    green = np.ascontiguousarray(pixels[::2, ::2, 1])  # (H/2, W/2)
    # Of a small picture fewer: a mean of a few pixels is noise.
    side = tuple(max(1, min(_BLOCKS, length // 8)) for length in green.shape[::-1])
    return np.asarray(Image.fromarray(green).resize(side, Image.Resampling.BOX), np.float32)
