"""Which files a watched folder gives, when, and which it gives up; the clock is the test's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from blemish.data.images.image_list import Arrivals


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def arrivals(folder: Path, clock: Clock, **options: float) -> Arrivals:
    return Arrivals([folder], clock=clock, **{"settle": 1.0, "give_up": 10.0, **options})  # type: ignore[arg-type]


def put(path: Path, content: bytes = b"picture", *, at: int = 1_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at, at))


def test_a_file_must_not_have_changed_for_a_while(tmp_path: Path, clock: Clock) -> None:
    watched = arrivals(tmp_path, clock)
    put(tmp_path / "a.png", b"half")
    assert watched.poll() == []
    clock.now += 0.9
    put(tmp_path / "a.png", b"half and more")
    assert watched.poll() == []
    clock.now += 0.9
    assert watched.poll() == []
    clock.now += 0.1
    assert watched.poll() == [tmp_path / "a.png"]
    watched.finish(tmp_path / "a.png")
    clock.now += 5
    assert watched.poll() == []


def test_in_the_order_of_arrival_then_of_names(tmp_path: Path, clock: Clock) -> None:
    watched = arrivals(tmp_path, clock, settle=0.0)
    put(tmp_path / "a.png", at=30)
    put(tmp_path / "deep" / "b.jpg", at=10)
    put(tmp_path / "10.png", at=20)
    put(tmp_path / "9.png", at=20)
    for name in ("notes.txt", "c.png.part", ".d.png"):
        put(tmp_path / name)
    assert [path.name for path in watched.poll()] == ["b.jpg", "9.png", "10.png", "a.png"]
    flat = Arrivals([tmp_path], recursive=False, settle=0.0, clock=clock)
    assert [path.name for path in flat.poll()] == ["9.png", "10.png", "a.png"]


def test_what_cannot_be_decoded_is_tried_again_when_it_changes(
    tmp_path: Path, clock: Clock
) -> None:
    watched = arrivals(tmp_path, clock, settle=0.0)
    path = tmp_path / "a.png"
    put(path, b"half")
    assert watched.poll() == [path]
    watched.retry(path, "cut short")
    clock.now += 9
    assert watched.poll() == []
    put(path, b"the whole")
    assert watched.poll() == [path]
    watched.retry(path, "still cut short")
    clock.now += 9.9
    assert (watched.poll(), watched.given_up()) == ([], [])
    clock.now += 0.2
    assert watched.poll() == []
    assert watched.given_up() == [(path, "still cut short")]
    assert (watched.poll(), watched.given_up(), watched.pending) == ([], [], 0)
    put(path, b"and whole after all")
    assert watched.poll() == [path]


def test_empty_files_are_waited_for_and_given_up(tmp_path: Path, clock: Clock) -> None:
    watched = arrivals(tmp_path, clock, settle=0.0)
    put(tmp_path / "a.png", b"")
    assert (watched.poll(), watched.pending) == ([], 1)
    clock.now += 11
    assert watched.poll() == []
    ((path, reason),) = watched.given_up()
    assert path.name == "a.png"
    assert "empty" in reason


def test_a_new_picture_under_an_old_name_is_a_picture(tmp_path: Path, clock: Clock) -> None:
    watched = arrivals(tmp_path, clock, settle=0.0)
    path = tmp_path / "current.png"
    put(path)
    assert watched.poll() == [path]
    watched.finish(path)
    assert watched.poll() == []
    put(path, at=2_000)
    assert watched.poll() == [path]
    watched.finish(path)
    path.unlink()
    assert watched.poll() == []
    assert not watched._finished  # the folder is emptied for years: nothing piles up
    put(path, at=2_000)
    assert watched.poll() == [path]


def test_a_folder_that_goes_away_comes_back(tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "share"
    put(folder / "a.png")
    watched = arrivals(folder, clock, settle=0.0)
    assert len(watched.poll()) == 1
    watched.finish(folder / "a.png")
    folder.rename(tmp_path / "away")
    assert watched.poll() == []
    assert "share" in watched.unreachable
    (tmp_path / "away").rename(folder)
    assert watched.poll() == []  # and is not judged again
    assert watched.unreachable == ""
    shutil.rmtree(folder)
    assert watched.poll() == []


def test_linked_folders_do_not_go_round(tmp_path: Path, clock: Clock) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "round").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone.png")
    assert len(arrivals(tmp_path, clock, settle=0.0).poll()) == 1


def test_a_file_that_grows_for_longer_than_the_patience_is_waited_for(
    tmp_path: Path, clock: Clock
) -> None:
    seen = arrivals(tmp_path, clock, settle=0.5, give_up=30.0)
    for second in range(41):  # 40 s of growing, a second at a time: longer than --give-up
        put(tmp_path / "slow.png", b"x" * (second + 1), at=1_000 + second)
        clock.now += 1.0
        for path in seen.poll():
            seen.retry(path, "cut short")
        assert seen.given_up() == []
    put(tmp_path / "slow.png", b"whole", at=2_000)
    assert seen.poll() == []
    clock.now += 0.6
    assert seen.poll() == [tmp_path / "slow.png"]


def test_a_rename_over_and_a_copy_with_an_old_time_are_new_pictures(
    tmp_path: Path, clock: Clock
) -> None:
    line = tmp_path / "line"
    seen = arrivals(line, clock)
    put(line / "a.png", at=5_000)

    def ready() -> list[str]:
        seen.poll()
        clock.now += 1.1
        found = seen.poll()
        for path in found:
            seen.finish(path)
        return [path.name for path in found]

    assert ready() == ["a.png"]
    put(tmp_path / "next.png", at=5_000)  # same size and time, another file
    (tmp_path / "next.png").rename(line / "a.png")
    assert ready() == ["a.png"]
    put(line / "a.png", at=10)  # as `cp -p` of an old picture does
    put(line / "old.png", at=10)
    assert ready() == ["a.png", "old.png"]
    assert ready() == []
