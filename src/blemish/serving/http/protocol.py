"""HTTP/1.1 on one connection: uvicorn's protocol, bounded in connections and in time for headers.

The parser is h11 and not the faster httptools: with httptools uvicorn loses the body of a request
that offers an upgrade, and reads pipelined requests and trailers without bound.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from blemish.serving.http.limits import ServeLimits

_HELD_BYTES = 64 * 1024
_HELD_SECONDS = 0.002


class OneWrite:
    """A transport that sends an answer in one piece.

    Uvicorn writes the headers of an answer and its body apart: two system calls, and two wakings of
    the client for an answer of a few hundred bytes. What is written is held until the answer is
    complete, but for 2 ms at most, and nothing that is large: a long answer leaves as it comes, and
    can be slowed down.

    Args:
        transport: Sends; what is not here is asked of it.
        loop: Keeps the time.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold it, or send it with what is held."""
        if not data:
            return
        self._held.append(data)
        self._size += len(data)
        if self._size > _HELD_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(_HELD_SECONDS, self.flush)

    def flush(self) -> None:
        """Send what is held."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._held:
            held, self._held, self._size = self._held, [], 0
            self._transport.write(b"".join(held))

    def close(self) -> None:
        """Send what is held, then close."""
        self.flush()
        self._transport.close()


def protocol(limits: ServeLimits) -> type[H11Protocol]:
    """Uvicorn's HTTP protocol with a bound on connections and on the time for headers."""

    class BoundedProtocol(H11Protocol):
        _patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            self._whole = OneWrite(transport, self.loop)
            super().connection_made(self._whole)  # type: ignore[arg-type]
            if len(self.connections) > limits.connections:
                transport.write(
                    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"
                    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
                )
                transport.close()
                return
            self._patience = self.loop.call_later(limits.header_seconds, self._lost_patience)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._patience is not None and not self._awaits_headers():
                self._patience.cancel()  # the headers are complete; the body has its own time
                self._patience = None
            elif self._patience is None and self._awaits_headers():  # the next request's
                self._patience = self.loop.call_later(limits.header_seconds, self._lost_patience)

        def on_response_complete(self) -> None:
            self._whole.flush()
            super().on_response_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._patience is not None:
                self._patience.cancel()
            super().connection_lost(exc)

        def _lost_patience(self) -> None:
            if self._awaits_headers():
                self.transport.close()

        def _awaits_headers(self) -> bool:
            cycle: Any = self.cycle  # None before the first request
            return cycle is None or cycle.response_complete

    return BoundedProtocol
