"""How much one server takes on: every bound that keeps its memory and its disk finite."""

from __future__ import annotations

from dataclasses import dataclass

from blemish.errors import ConfigError

MIB = 2**20


@dataclass(frozen=True)
class ServeLimits:
    """The bounds of a server. Beyond each of them a request is refused, never queued.

    Attributes:
        body_bytes: Largest body of one request.
        pixels: Largest image, told by its header before anything is decoded.
        images: Images in one request.
        queue: Images accepted and not yet answered; more are answered 503.
        upload_bytes: All bodies in memory together; more are answered 503.
        connections: Open connections; further ones are answered 503 at once.
        header_seconds: For the headers of a request to arrive.
        body_seconds: For its body to arrive.
        answer_seconds: From the last byte of a request to its answer.
        shutdown_seconds: For accepted requests to be finished after SIGTERM.
        batch: Images per forward pass at most.
        keep_pictures: Pictures in the history at most.
        keep_bytes: Their size on disk at most.

    Raises:
        ConfigError: A bound that is not positive, or a request that could never be accepted.

    Example:
        >>> from blemish.serving.http.limits import ServeLimits
        >>> ServeLimits(queue=64).images
        32
    """

    body_bytes: int = 64 * MIB
    pixels: int = 32_000_000
    images: int = 32
    queue: int = 256
    upload_bytes: int = 512 * MIB
    connections: int = 512
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    answer_seconds: float = 60.0
    shutdown_seconds: float = 30.0
    batch: int = 8
    keep_pictures: int = 2000
    keep_bytes: int = 2048 * MIB

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise ConfigError(f"The limit {name} is {value}; it must be above 0.")
        if self.images > self.queue:
            raise ConfigError(
                f"One request may hold {self.images} images, but only {self.queue} are accepted "
                "at once: such a request would always be refused. Raise the queue."
            )
        if self.body_bytes > self.upload_bytes:
            raise ConfigError(
                f"One request may hold {self.body_bytes:,} bytes, but all together only "
                f"{self.upload_bytes:,}: raise the bytes for all uploads."
            )
