"""Dynamic batching: requests come one by one, and the network works best on several.

While the network runs, further inputs gather; it then takes as many of them as fit one pass. A
lone input waits for nobody: there is no timer.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from blemish.inspection.network import Network, NetworkOutput
from blemish.inspection.prediction import one_of


class QueueFullError(Exception):
    """More inputs than the queue holds. Whoever admits requests should not let it come to this."""


Waiting = tuple[NDArray[np.uint8], "Future[NetworkOutput]"]


class BatchQueue:
    """Runs a network in one thread on whatever waits, in order of arrival.

    At most ``batch`` inputs per pass, at most ``capacity`` waiting; the network is called from that
    thread only.
    """

    def __init__(self, network: Network, *, batch: int, capacity: int) -> None:
        self._network = network
        self._batch = batch
        self._capacity = capacity
        self._waiting: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self.passes = 0
        self.inputs = 0

    @property
    def depth(self) -> int:
        """Inputs that wait for the network."""
        return len(self._waiting)

    def submit(self, pixels: NDArray[np.uint8]) -> Future[NetworkOutput]:
        """Queue one input ``(H, W, 3)``; its future gives the answer, N = 1."""
        future: Future[NetworkOutput] = Future()
        with self._changed:
            if self._closing:
                raise RuntimeError("the queue is closed")
            if len(self._waiting) >= self._capacity:
                # Clients that went away gave their places to others, who must find them free.
                self._waiting = deque(each for each in self._waiting if not each[1].cancelled())
            if len(self._waiting) >= self._capacity:
                raise QueueFullError(f"{self._capacity} inputs wait already")
            self._waiting.append((pixels, future))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="network", daemon=True)
                self._thread.start()
            self._changed.notify()
        return future

    def close(self) -> None:
        """Answer what was accepted, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            # A client that went away has cancelled its input.
            batch = [item for item in batch if item[1].set_running_or_notify_cancel()]
            if batch:
                self._run(batch)

    def _next(self) -> list[Waiting]:
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            count = min(len(self._waiting), self._batch)
            return [self._waiting.popleft() for _ in range(count)]

    def _run(self, batch: list[Waiting]) -> None:
        try:
            output = self._network(np.stack([pixels for pixels, _ in batch]))  # (N, H, W, 3)
            # A copy: a view would keep the maps of the whole batch in memory.
            answers = [copy.deepcopy(one_of(output, row)) for row in range(len(batch))]
        except BaseException as error:  # the thread must outlive a failed pass
            for _, future in batch:
                future.set_exception(error)
            return
        self.passes += 1
        self.inputs += len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)
