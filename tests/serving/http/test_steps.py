"""Steps in threads: order, errors of each, and a stop in the middle."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from blemish.serving.http.steps import run_steps


@pytest.mark.parametrize("failing", ["prepare", "infer", "answer", "finish"])
def test_an_error_of_any_step_is_the_answer(failing: str) -> None:
    def step(name: str) -> str:
        if name == failing:
            raise KeyError(name)
        return name

    def infer(prepared: str) -> Future[str]:
        answer: Future[str] = Future()
        step("infer")
        if failing == "answer":
            answer.set_exception(KeyError("answer"))
        else:
            answer.set_result(prepared + " infer")
        return answer

    with ThreadPoolExecutor(1) as threads:
        steps = run_steps(threads, lambda: step("prepare"), infer, lambda _, a: step("finish"))
        with pytest.raises(KeyError, match=failing):
            steps.result(10)


def test_cancelled_steps_do_not_begin() -> None:
    answer: Future[int] = Future()
    asked, finished = threading.Event(), threading.Event()

    def infer(prepared: int) -> Future[int]:
        asked.set()
        return answer

    with ThreadPoolExecutor(1) as threads:
        steps = run_steps(threads, lambda: 1, infer, lambda *_: finished.set())
        assert asked.wait(10)
        assert steps.cancel()
        assert answer.cancelled()  # the network leaves it out
    later: Future[int] = Future()
    with ThreadPoolExecutor(1) as threads:
        steps = run_steps(threads, lambda: 1, lambda _: later, lambda p, a: finished.set())
        threads.submit(lambda: None).result(10)
        later.set_running_or_notify_cancel()
        assert steps.cancel()
        later.set_result(2)  # the network had begun: its answer comes, and nobody wants it
    assert not finished.is_set()


def test_no_thread_left_is_an_error_and_no_silence() -> None:
    threads = ThreadPoolExecutor(1)
    threads.shutdown()
    with pytest.raises(RuntimeError):
        run_steps(threads, lambda: 1, lambda _: Future(), lambda *_: 2).result(10)


def test_what_is_done_is_let_go_without_the_garbage_collector() -> None:
    class Large:
        """Stands for pixels; a plain object cannot be watched."""

    seen: list[weakref.ref[object]] = []

    def prepare() -> Large:
        large = Large()
        seen.append(weakref.ref(large))
        return large

    def infer(prepared: Large) -> Future[Large]:
        answer: Future[Large] = Future()
        seen.append(weakref.ref(answer))
        network.submit(lambda: answer.set_result(Large()))
        return answer

    enabled = gc.isenabled()
    gc.disable()
    try:
        with ThreadPoolExecutor(1) as threads, ThreadPoolExecutor(1) as network:
            for _ in range(5):
                assert run_steps(threads, prepare, infer, lambda *_: 1).result(10) == 1
        assert [alive() for alive in seen] == [None] * 10
    finally:
        if enabled:
            gc.enable()


@pytest.mark.parametrize("failing", ["prepare", "finish"])
def test_an_error_holds_neither_the_picture_nor_itself(failing: str) -> None:
    class Large:
        """Stands for pixels."""

    seen: list[weakref.ref[object]] = []

    def step(name: str) -> None:
        large = Large()
        seen.append(weakref.ref(large))
        if name == failing:
            try:
                raise ValueError("damaged")
            except ValueError as error:
                raise KeyError(name) from error

    def infer(prepared: None) -> Future[int]:
        answer: Future[int] = Future()
        answer.set_result(1)
        return answer

    enabled = gc.isenabled()
    gc.disable()
    try:
        with ThreadPoolExecutor(1) as threads:
            steps = run_steps(threads, lambda: step("prepare"), infer, lambda *_: step("finish"))
            error = steps.exception(10)
        assert isinstance(error, KeyError)
        assert error.__traceback__ is not None  # where it comes from is still told
        assert {alive() for alive in seen} == {None}  # while the error waits for its request
        ended = weakref.ref(steps)
        del steps, error
        assert ended() is None
    finally:
        if enabled:
            gc.enable()
