"""Admission control: the bounds of a server, who gets in, and the refusal of everybody else."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from blemish.errors import ConfigError

MIB = 2**20
#: Flags of ``blemish serve`` that set a limit, by its name.
_FLAGS = {
    "body_bytes": "--max-mib",
    "pixels": "--max-megapixels",
    "images": "--max-images",
    "queue": "--queue",
    "body_seconds": "--timeout",
    "answer_seconds": "--timeout",
    "batch": "--batch-size",
    "keep_pictures": "--keep",
    "keep_bytes": "--keep-gib",
}
_LONGEST_WAIT = 30  # seconds a refused client is told to wait at most


class RefusalError(Exception):
    """A request that is not served: a status, a fixed word for programs, a sentence for people."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}


@dataclass(frozen=True)
class ServeLimits:
    """The bounds that keep a server's memory and disk finite; beyond them a request is refused."""

    body_bytes: int = 64 * MIB  # largest body of one request
    pixels: int = 32_000_000  # largest image, told by its header before anything is decoded
    images: int = 32  # in one request
    queue: int = 256  # images accepted and not yet answered; more are answered 503
    upload_bytes: int = 512 * MIB  # all bodies in memory together; more are answered 503
    connections: int = 512  # open at once; further ones are answered 503
    header_seconds: float = 10.0  # for the headers of a request to arrive
    body_seconds: float = 30.0  # for its body to arrive
    answer_seconds: float = 60.0  # from the last byte of a request to its answer
    shutdown_seconds: float = 30.0  # for accepted requests to be finished after SIGTERM
    batch: int = 8  # images per forward pass at most
    keep_pictures: int = 2000  # in the history at most
    keep_bytes: int = 2048 * MIB  # their size on disk at most

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                flag = _FLAGS.get(name, f"the limit {name}")
                raise ConfigError(f"{flag} is {value}; it must be above 0.")
        if self.images > self.queue:
            raise ConfigError(
                f"One request may hold {self.images} images, but only {self.queue} are accepted "
                "at once: such a request would always be refused. Raise --queue."
            )
        if self.body_bytes > self.upload_bytes:
            raise ConfigError(
                f"One request may hold {self.body_bytes:,} bytes, but all together only "
                f"{self.upload_bytes:,}: lower --max-mib."
            )


class Admission:
    """Counts what is in the house. Used from the event loop only, so it needs no lock.

    Nothing waits here: what does not fit is refused with the time after which to come again, and
    the time follows from how fast images were answered lately.
    """

    def __init__(self, limits: ServeLimits) -> None:
        self.limits = limits
        self.images = 0
        self.bytes = 0
        self._answered: deque[float] = deque(maxlen=64)

    def enter(self, images: int) -> None:
        """Take places for the images of one request, all or none (503)."""
        if self.images + images > self.limits.queue:
            raise self._busy(
                f"{self.images} images are waiting already, {self.limits.queue} are accepted at "
                "once. Send this request again later."
            )
        self.images += images

    def leave(self, images: int, now: float) -> None:
        """Give the places back, at a time of the monotonic clock."""
        self.images -= images
        self._answered.extend([now] * min(images, 64))

    def hold(self, count: int) -> None:
        """Take memory for bytes of a body; refused (503) where others fill it."""
        if self.bytes + count > self.limits.upload_bytes:
            raise self._busy(
                "The uploads in progress fill the memory set aside for them. Send this request "
                "again later."
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

    def _busy(self, detail: str) -> RefusalError:
        return RefusalError(503, "busy", detail, headers={"Retry-After": str(self.wait())})
