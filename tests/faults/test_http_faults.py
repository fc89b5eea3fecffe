"""The server under requests drawn from its own description, and under clients that are slow."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

FAULTS, SERVING = Path(__file__).parent, Path(__file__).parents[1] / "serving"


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (FAULTS, SERVING):
        monkeypatch.syspath_prepend(folder)


def test_requests_by_the_description_are_answered_by_the_description() -> None:
    pytest.importorskip("schemathesis")
    from fuzz_http import fuzzed

    found = fuzzed(3, seed=1)
    assert found["wrong"] == []
    assert found["operations"] >= 20
    assert min(found["answers"]["2xx"], found["answers"]["4xx"]) > 10


@pytest.fixture
def slow_ones() -> Iterator[list[socket.socket]]:
    opened: list[socket.socket] = []
    yield opened
    for one in opened:
        one.close()


def test_two_hundred_slow_clients_hold_nobody_up(
    tmp_path: Path, slow_ones: list[socket.socket]
) -> None:
    from running_server import RunningServer, spots
    from spot_model import part, png

    words = [tmp_path / "s.blemish", "--port", "0", "--timeout", "2"]
    server = RunningServer(spots(words, tmp_path / "log"), tmp_path / "log")
    begun = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    try:
        for number in range(200):
            slow_ones.append(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            body = b"Content-Length: 5000\r\n\r\n\x89PNG" if number % 2 else b"X-Slow: "
            slow_ones[-1].sendall(begun + body)
        slowest, gone, until = 0.0, set[int](), time.monotonic() + 4
        while time.monotonic() < until:
            for number, one in enumerate(slow_ones):  # a byte at a time
                try:
                    one.sendall(b"a")
                except OSError:
                    gone.add(number)
            started = time.monotonic()
            answer = server.client.post("/v1/predict", content=png(part(105)))
            slowest = max(slowest, time.monotonic() - started)
            assert answer.json()["results"][0]["score"] == 105
            time.sleep(0.1)
        assert slowest < 2  # it has not waited for any of them
        assert len(gone) > 150  # who sends on is not waited for either
        assert "\nblemish_upload_bytes 0.0\n" in server.client.get("/metrics").text
    finally:
        assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()
