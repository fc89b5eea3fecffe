"""Prefetching: items made ready in threads ahead of who takes them, in order and never too many."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[In], Out], items: Iterable[In], depth: int
) -> Iterator[Out]:
    """``work`` of each item, in order, with up to ``depth`` of them under way.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> from blemish.data.prefetch import ahead
        >>> with ThreadPoolExecutor(2) as pool:
        ...     list(ahead(pool, abs, [-1, 2, -3], depth=2))
        [1, 2, 3]
    """
    waiting: deque[Future[Out]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) == depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def prefetched(
    work: Callable[[In], Out], items: Iterable[In], *, threads: int, depth: int
) -> Iterator[Out]:
    """:func:`ahead` with threads of its own, which end with the iterator; none: where it is asked.

    Example:
        >>> from blemish.data.prefetch import prefetched
        >>> list(prefetched(abs, [-1, 2, -3], threads=1, depth=2))
        [1, 2, 3]
    """
    if not threads:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(threads)
    try:
        yield from ahead(pool, work, items, depth)
    finally:  # also when nobody asks on: what has not begun is dropped
        pool.shutdown(cancel_futures=True)
