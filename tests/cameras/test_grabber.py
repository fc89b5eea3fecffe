"""What a grabber holds, drops, calls for and comes back from."""

from __future__ import annotations

import time
from typing import Any

import pytest
from scripted_camera import ScriptedCamera

from blemish.cameras.grabber import FrameLostError, Grabber
from blemish.cameras.trigger import Every, OnCall


def until(true: Any) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def level(shot: Any) -> int:
    return int(shot.frame.pixels[0, 0, 0])


def test_the_oldest_give_way_and_are_counted() -> None:
    notes: list[str] = []
    grabber = Grabber(ScriptedCamera(range(10)), Every(), notes.append, room=3)
    grabber.start()
    until(lambda: grabber.over)
    assert (grabber.seen, grabber.fired, grabber.dropped) == (10, 10, 7)
    assert [level(grabber.take(1)) for _ in range(3)] == [7, 8, 9]
    assert grabber.take(0.01) is None
    assert notes == ["scripted has ended (there are no more): 10 pictures, 7 dropped."]


def test_pictures_in_files_wait() -> None:
    grabber = Grabber(ScriptedCamera(range(10), waits=True), Every(), print, room=2)
    grabber.start()
    assert [level(grabber.take(2)) for _ in range(10)] == list(range(10))
    assert grabber.dropped == 0
    grabber.close()


def test_a_camera_that_is_lost_is_opened_again_and_both_are_said() -> None:
    notes: list[str] = []
    runs = ([1, OSError("no route to host")], [OSError("still none")], [2, 1.0])
    grabber = Grabber(ScriptedCamera(*runs, ends=False), Every(), notes.append)
    grabber.start()
    until(lambda: grabber.state == "away")
    assert grabber.reason
    until(lambda: grabber.seen == 2)
    assert notes == [
        "No pictures from scripted: no route to host. Trying again.",
        "scripted is back.",
    ]
    started = time.monotonic()
    grabber.close()
    assert time.monotonic() - started < 2


def test_the_next_picture_is_judged_on_call_as_that_part() -> None:
    grabber = Grabber(ScriptedCamera([1, 0.3, 2, 3, 0.3]), OnCall(), print)
    grabber.start()
    until(lambda: grabber.seen == 1)
    answer = grabber.call("4711", "nut")
    shot = grabber.take(5)
    assert shot is not None
    assert (level(shot), shot.frame.part, shot.product, shot.answer) == (2, "4711", "nut", answer)
    until(lambda: grabber.over)
    assert grabber.fired == 1
    with pytest.raises(FrameLostError, match="no pictures any more"):
        grabber.call()


def test_who_waits_for_a_camera_that_ends_is_told() -> None:
    grabber = Grabber(ScriptedCamera([0.3]), OnCall(), print)
    answer = grabber.call("1")
    grabber.start()
    with pytest.raises(FrameLostError, match="no pictures any more"):
        answer.result(5)


def test_parts_that_were_called_go_last() -> None:
    grabber = Grabber(ScriptedCamera(range(1, 6)), Every(), print, room=2)
    grabber.call("first")
    grabber.start()
    until(lambda: grabber.over)
    assert [level(grabber.take(1)) for _ in range(2)] == [1, 5]
