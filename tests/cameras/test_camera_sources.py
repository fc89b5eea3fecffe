"""Videos, streams, folders and programs as cameras, by their addresses."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scripted_camera import grey, write_video

from blemish.cameras.address import open_camera
from blemish.cameras.frame import Camera, Frame
from blemish.errors import ConfigError, MissingExtraError

HERE = Path(__file__).parent


def some(camera: Camera, count: int) -> list[Frame]:
    stop = threading.Event()
    found = []
    for frame in camera.frames(stop):
        found.append(frame)
        if len(found) == count:
            stop.set()
    return found


def levels(frames: list[Frame]) -> list[int]:
    return [int(np.median(frame.pixels)) for frame in frames]


def test_a_video_is_played_at_its_own_pace(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", [grey(20 * at) for at in range(10)], rate=20)
    camera = open_camera(str(tmp_path / "clip.mp4"))
    started = time.monotonic()
    frames = some(camera, 99)
    assert time.monotonic() - started == pytest.approx(9 / 20, abs=0.3)
    assert camera.ends
    assert np.allclose(levels(frames), [20 * at for at in range(10)], atol=2)
    assert frames[0].pixels.shape == (48, 64, 3)


def test_colours_are_red_green_and_blue(tmp_path: Path) -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 230
    write_video(tmp_path / "clip.mp4", [red] * 3)
    found = some(open_camera(str(tmp_path / "clip.mp4")), 1)[0].pixels.reshape(-1, 3).mean(0)
    assert found[0] > 200
    assert found[1:].max() < 30


def test_a_stream_over_the_network(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"udp://127.0.0.1:{port}"
    sender = subprocess.Popen([sys.executable, str(HERE / "udp_sender.py"), address, "30"])
    try:
        camera = open_camera(f"{address}#probesize=32000")
        frames = some(camera, 5)
    finally:
        sender.kill()
        sender.wait()
    assert camera.name == f"127.0.0.1:{port}"
    assert len(frames) == 5
    assert all(abs(level - 128) < 4 for level in levels(frames))


def test_a_stream_that_nobody_sends_is_an_error_soon() -> None:
    started = time.monotonic()
    with pytest.raises(Exception, match=r"\w"):
        some(open_camera("rtsp://127.0.0.1:9/none"), 1)
    assert time.monotonic() - started < 8


def test_pictures_of_a_folder_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(grey(80)).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "cut.png").write_bytes((tmp_path / "in" / "a.png").read_bytes()[:60])
    camera = open_camera(str(tmp_path / "in"))
    assert camera.waits
    (frame,) = some(camera, 1)
    assert (frame.name, levels([frame])) == ("a.png", [80])


def test_a_program_is_a_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_line.py").write_text(
        "import numpy as np\nfrom blemish.cameras.frame import Frame\n"
        "def pictures():\n"
        "    yield np.full((4, 6), 7, np.uint8)\n"
        "    yield Frame(np.zeros((4, 6, 3), np.uint8), 12.0, part='A1')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    first, second = some(open_camera("python:my_line:pictures"), 9)
    assert first.pixels.tolist()[0][0] == [7, 7, 7]
    assert (second.part, second.taken) == ("A1", 12.0)
    with pytest.raises(ConfigError, match="PYTHONPATH"):
        open_camera("python:my_line:none")
    with pytest.raises(ConfigError, match="PYTHONPATH"):
        open_camera("python:not_there:f")


def test_a_name_of_a_picture_tells_no_password() -> None:
    assert open_camera("rtsp://me:secret@10.0.0.7:554/live?key=1").name == "10.0.0.7:554/live"
    assert open_camera("camera:1").name == "camera-1"


def test_what_is_no_source_is_said(tmp_path: Path) -> None:
    for wrong in (str(tmp_path / "none.mp4"), "camera:", "ftp://x/y", "rtsp:x"):
        with pytest.raises(ConfigError, match="Expected camera:0"):
            open_camera(wrong)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"blemish\[camera\]"):
        open_camera("camera:0")
