"""Threads behind one queue."""

from __future__ import annotations

import threading
import weakref

import pytest

from blemish.serving.http.threads import Threads


def test_work_runs_in_order_and_is_finished_before_they_end() -> None:
    threads, seen = Threads(1, "one"), []
    for number in range(20):
        threads.submit(lambda number=number: seen.append(number))
    threads.shutdown()
    assert seen == list(range(20))


def test_as_many_run_at_once_as_there_are() -> None:
    both = threading.Barrier(2, timeout=10)
    names: list[str] = []

    def meet() -> None:
        both.wait()  # one thread alone would wait here until it is an error
        names.append(threading.current_thread().name)

    threads = Threads(2, "pictures")
    threads.submit(meet)
    threads.submit(meet)
    threads.shutdown()
    assert sorted(names) == ["pictures_0", "pictures_1"]


def test_after_their_end_nothing_is_taken() -> None:
    threads = Threads(1, "gone")
    threads.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        threads.submit(lambda: None)


def test_what_is_done_is_let_go_at_once() -> None:
    class Work:
        def __call__(self) -> None:
            pass

    threads, work = Threads(1, "one"), Work()
    alive = weakref.ref(work)
    threads.submit(work)
    del work
    after = threading.Event()
    threads.submit(after.set)
    assert after.wait(10)
    assert alive() is None
    threads.shutdown()
