"""Publish and subscribe: what changes in a server reaches every page that is open, at once.

As server-sent events. A page that cannot keep up loses what it missed and is told so: it then asks
for everything anew, as it does when it comes back after a pause.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

#: Events that wait for one page at most.
_ROOM = 256
#: Seconds after which a line goes to a page for which there is nothing: so a dead one is noticed.
_QUIET = 15.0


class Events:
    """Sends each event to all who listen; to be published from any thread.

    Example:
        >>> from blemish.serving.events import Events
        >>> Events().publish("mark", id=3, mark="good")  # nobody listens
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[asyncio.Queue[str | None], asyncio.AbstractEventLoop] = {}
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def publish(self, kind: str, **content: Any) -> None:
        """Send an event: a word for its kind, and values that JSON can hold."""
        with self._lock:
            if self._listeners:
                text = f"event: {kind}\ndata: {json.dumps(content, separators=(',', ':'))}\n\n"
                for queue, loop in self._listeners.items():
                    loop.call_soon_threadsafe(_put, queue, text)

    def close(self) -> None:
        """End all streams: a server that is told to stop waits for its answers to end."""
        with self._lock:
            self._closed = True
            for queue, loop in self._listeners.items():
                loop.call_soon_threadsafe(_put, queue, None)

    async def stream(self, first: str = "{}") -> AsyncIterator[str]:
        """The lines of one listener, until it goes; the first event, ``hello``, holds ``first``."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(_ROOM)
        with self._lock:
            if self._closed:
                return
            self._listeners[queue] = asyncio.get_running_loop()
        try:
            yield f"retry: 2000\nevent: hello\ndata: {first}\n\n"
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), _QUIET)
                except asyncio.TimeoutError:
                    text = ": nothing new\n\n"
                if text is None:
                    return
                yield text
        finally:
            with self._lock:
                del self._listeners[queue]


def _put(queue: asyncio.Queue[str | None], text: str | None) -> None:
    if text is None or queue.full():
        while not queue.empty():
            queue.get_nowait()
        text = text and "event: missed\ndata: {}\n\n"
    queue.put_nowait(text)
