"""Waiting with an end to it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest

from blemish.serving.http.deadline import Deadline, all_done


def test_a_block_that_takes_too_long_is_left() -> None:
    async def wait() -> str:
        try:
            with Deadline(0.01):
                await asyncio.sleep(60)
        except asyncio.TimeoutError:
            await asyncio.sleep(0)  # the task goes on: it is not being cancelled any more
            return "left"
        return "waited"

    assert asyncio.run(asyncio.wait_for(wait(), 30)) == "left"


def test_a_block_in_time_is_not_disturbed_and_nor_is_what_follows() -> None:
    async def wait() -> str:
        with Deadline(0.02):
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        return "done"

    assert asyncio.run(wait()) == "done"


def test_errors_and_others_cancelling_pass_through() -> None:
    async def fail() -> None:
        with Deadline(10):
            raise KeyError("mine")

    async def cancelled() -> None:
        async def wait() -> None:
            with Deadline(10):
                await asyncio.sleep(60)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(fail())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


def test_all_are_waited_for_whatever_becomes_of_them() -> None:
    futures: list[Future[int]] = [Future() for _ in range(3)]

    async def wait() -> bool:
        ended = all_done(futures, 60)
        threading.Thread(target=futures[0].set_result, args=(1,)).start()
        threading.Thread(target=futures[1].set_exception, args=(KeyError("two"),)).start()
        done, _ = await asyncio.wait((ended,), timeout=0.05)
        assert not done
        futures[2].cancel()
        return await asyncio.wait_for(ended, 10)

    assert asyncio.run(wait())
    assert futures[0].result() == 1


def test_what_takes_too_long_is_not_waited_for_and_may_still_end() -> None:
    late: Future[int] = Future()

    async def wait() -> bool:
        in_time = await all_done([late], 0.01)
        late.set_result(1)
        await asyncio.sleep(0.02)
        return in_time

    assert not asyncio.run(wait())


def test_who_stops_waiting_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    late: Future[int] = Future()

    async def stop() -> None:
        ended = all_done([late], 60)
        ended.cancel()
        late.set_result(1)
        await asyncio.sleep(0.02)

    asyncio.run(stop())
    assert caplog.records == []


def test_what_ends_after_the_event_loop_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    late: Future[int] = Future()

    async def forget() -> None:
        all_done([late], 60)

    asyncio.run(forget())
    late.set_result(1)
    assert caplog.records == []
