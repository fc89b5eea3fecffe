"""A few threads that run what is put into one queue, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Threads:
    """Threads for work that answers for its own errors.

    ``ThreadPoolExecutor`` makes a future for everything submitted, and the caller waits for three
    locks that its threads hold in turn; on the event loop that cost more than the rest of handing
    a picture over.

    Args:
        count: How many.
        name: Theirs, with a number after it.

    Example:
        >>> from blemish.serving.http.threads import Threads
        >>> threads, seen = Threads(2, "example"), []
        >>> threads.submit(lambda: seen.append(7))
        >>> threads.shutdown()
        >>> seen
        [7]
    """

    def __init__(self, count: int, name: str) -> None:
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}_{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], object], /) -> None:
        """Have it run. It must not raise.

        Raises:
            RuntimeError: They were shut down.
        """
        if self._closed:
            raise RuntimeError("the threads are shut down")
        self._queue.put(work)

    def shutdown(self) -> None:
        """Let them finish what they were given, then end."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
            del work  # what it holds is not kept until the next one comes
