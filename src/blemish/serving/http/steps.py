"""One picture's way through threads and network, without going back to the event loop between."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from traceback import clear_frames
from typing import Protocol, TypeVar

Prepared = TypeVar("Prepared")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


class Workers(Protocol):
    """Threads, or an executor of the standard library."""

    def submit(self, work: Callable[[], object], /) -> object:
        """Have it run in a thread."""


def run_steps(
    threads: Workers,
    prepare: Callable[[], Prepared],
    infer: Callable[[Prepared], Future[Answer]],
    finish: Callable[[Prepared, Answer], Result],
) -> Future[Result]:
    """Prepare in a thread, infer, finish in a thread; each begins when the one before is done.

    The event loop would be woken at every step, and busy with it. Whoever cancels the future
    returned stops what has not begun. What a step raises is raised by that future.

    Args:
        threads: Run the first and the last step.
        prepare: The first step.
        infer: Called in the same thread with what it gave; must not wait for its own answer.
        finish: Called with both.

    Example:
        >>> from concurrent.futures import Future, ThreadPoolExecutor
        >>> from blemish.serving.http.steps import run_steps
        >>> def infer(value):
        ...     answer = Future()
        ...     answer.set_result(2 * value)
        ...     return answer
        >>> with ThreadPoolExecutor(1) as threads:
        ...     run_steps(threads, lambda: 3, infer, lambda value, answer: (value, answer)).result()
        (3, 6)
    """
    result: Future[Result] = Future()
    # A list, emptied when the answer is there: two futures that hold each other, with pixels and
    # map in their hands, would stay in memory until the garbage collector comes by.
    awaited: list[Future[Answer]] = []
    # Emptied by an error, for the same reason: it holds the functions that it came through.
    promised = [result]

    def guarded(step: Callable[[], None]) -> None:
        if not promised or promised[0].cancelled():
            return
        try:
            step()
        except BaseException as error:  # whatever it is, somebody waits for it
            _let_go(error)
            with suppress(InvalidStateError):  # cancelled meanwhile
                promised.pop().set_exception(error)

    def first() -> None:
        prepared = prepare()
        awaited.append(infer(prepared))

        def last() -> None:
            found = finish(prepared, awaited.pop().result())
            with suppress(InvalidStateError):
                promised[0].set_result(found)

        awaited[0].add_done_callback(lambda _: guarded(lambda: submit(last)))

    def submit(step: Callable[[], None]) -> None:
        threads.submit(partial(guarded, step))

    result.add_done_callback(lambda _: [answer.cancel() for answer in awaited])
    guarded(lambda: submit(first))
    return result


def _let_go(error: BaseException) -> None:
    """Take file and pixels out of the functions that an error came through; their lines stay.

    An error lives until the request is answered, and so would what was decoded of its picture.
    """
    left, seen = [error], set[int]()
    while left:
        each = left.pop()
        seen.add(id(each))
        clear_frames(each.__traceback__)
        behind = (each.__cause__, each.__context__)
        left += [other for other in behind if other is not None and id(other) not in seen]
