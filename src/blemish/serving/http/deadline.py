"""Waiting in the event loop, bounded: without a task of its own for what is waited for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any


class Deadline:
    """A ``with`` block inside a coroutine that is over when its time is up.

    As ``asyncio.timeout``, which Python 3.10 has not; ``asyncio.wait_for`` makes a task, which
    costs more than what is done in it when a body has arrived already.

    Args:
        seconds: From entering the block.

    Raises:
        asyncio.TimeoutError: The time was up.

    Example:
        >>> import asyncio
        >>> from blemish.serving.http.deadline import Deadline
        >>> async def wait():
        ...     try:
        ...         with Deadline(0.01):
        ...             await asyncio.sleep(60)
        ...     except asyncio.TimeoutError:
        ...         return "too slow"
        >>> asyncio.run(wait())
        'too slow'
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # there is one in every coroutine that runs
        self._task = task
        self._timer = task.get_loop().call_later(self._seconds, self._expire)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        # A timer runs only while the block waits: its cancellation arrives inside, never later.
        if self._expired and isinstance(error, asyncio.CancelledError):
            if sys.version_info >= (3, 11):
                self._task.uncancel()
            raise asyncio.TimeoutError from error

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()


def all_done(futures: Sequence[Future[Any]], seconds: float) -> asyncio.Future[bool]:
    """A future of the running event loop: whether all these of other threads ended in time.

    Whether they failed or were cancelled is theirs to say. It is awaited itself: what stands
    between it and who waits costs a turn of the event loop each.

    Args:
        futures: At least one.
        seconds: After which it is done in any case.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bool] = loop.create_future()
    left = len(futures)

    def one_less() -> None:  # in the event loop
        nonlocal left
        left -= 1
        if left == 0:
            timer.cancel()
            end(True)

    def end(in_time: bool) -> None:
        if not ended.done():
            ended.set_result(in_time)

    def tell(_: Future[Any]) -> None:  # in any thread
        with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            loop.call_soon_threadsafe(one_less)

    timer = loop.call_later(seconds, end, False)
    for future in futures:
        future.add_done_callback(tell)
    return ended
