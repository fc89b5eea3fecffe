"""Who gets in: a bounded number of images, and of bytes, at any one time."""

from __future__ import annotations

import math
from collections import deque

from blemish.serving.http.limits import ServeLimits
from blemish.serving.http.refusals import busy

_LONGEST_WAIT = 30  # seconds a refused client is told to wait at most


class Admission:
    """Counts what is in the house. Used from the event loop only, so it needs no lock.

    Nothing waits here: what does not fit is refused with the time after which to come again, and
    the time follows from how fast images were answered lately.

    Args:
        limits: The bounds.

    Example:
        >>> from blemish.serving.http.admission import Admission
        >>> from blemish.serving.http.limits import ServeLimits
        >>> from blemish.serving.http.refusals import RefusalError
        >>> admission = Admission(ServeLimits(images=2, queue=2))
        >>> admission.enter(2)
        >>> try:
        ...     admission.enter(1)
        ... except RefusalError as no:
        ...     print(no.status, no.headers)
        503 {'Retry-After': '1'}
    """

    def __init__(self, limits: ServeLimits) -> None:
        self.limits = limits
        self.images = 0
        self.bytes = 0
        self._answered: deque[float] = deque(maxlen=64)

    def enter(self, images: int) -> None:
        """Take places for the images of one request, all or none.

        Raises:
            RefusalError: 503, there are not so many places.
        """
        if self.images + images > self.limits.queue:
            raise busy(
                f"{self.images} images are waiting already, {self.limits.queue} are accepted at "
                "once. Send this request again later.",
                self.wait(),
            )
        self.images += images

    def leave(self, images: int, now: float) -> None:
        """Give the places back.

        Args:
            now: Monotonic clock, in seconds.
        """
        self.images -= images
        self._answered.extend([now] * min(images, 64))

    def hold(self, count: int) -> None:
        """Take memory for bytes of a body.

        Raises:
            RefusalError: 503, the bodies of other requests fill it.
        """
        if self.bytes + count > self.limits.upload_bytes:
            raise busy(
                "The uploads in progress fill the memory set aside for them. Send this request "
                "again later.",
                self.wait(),
            )
        self.bytes += count

    def release(self, count: int) -> None:
        """Give the memory back."""
        self.bytes -= count

    def wait(self) -> int:
        """Seconds until half of what is here is probably answered."""
        if len(self._answered) < 2:
            return 1
        span = self._answered[-1] - self._answered[0]
        per_image = span / (len(self._answered) - 1)
        return min(max(1, math.ceil(per_image * self.images / 2)), _LONGEST_WAIT)
