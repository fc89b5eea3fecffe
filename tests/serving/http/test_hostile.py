"""A thousand requests that nobody sends by mistake: refused, and the server is as it was."""

from __future__ import annotations

import asyncio
import io
import random
import socket
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from running_server import RunningServer
from spot_model import part, png

COUNT = 1000
Start = Callable[..., RunningServer]


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that says it has ``side``² pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(3_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def tiff_with(tag_count: int) -> bytes:
    """A TIFF directory that promises more than there is."""
    return b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", tag_count) + b"\xff" * 60


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(part(110, size=(48, 48))).save(file, kind)
    return file.getvalue()


def raw(body: bytes, *headers: str, path: str = "/v1/predict", host: str = "localhost") -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    if not any(
        line.lower().startswith(("content-length", "transfer-encoding")) for line in headers
    ):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def form(body: bytes, boundary: str = "b") -> bytes:
    return raw(body, f"Content-Type: multipart/form-data; boundary={boundary}")


def hostile_requests() -> Iterator[bytes]:
    """Without end, in a fixed order, each answered 4xx or by a closed connection."""
    chance = random.Random(7)
    files = [encoded(kind) for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP")]
    png_type = "Content-Type: image/png"
    named = b'--b\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n\r\n%s\r\n--b--\r\n'
    while True:
        whole = chance.choice(files)
        yield raw(whole[: chance.randrange(1, max(2, len(whole) // 2))], png_type)  # cut short
        yield raw(whole[:30] + chance.randbytes(200), png_type)
        yield raw(chance.randbytes(chance.randrange(1, 2000)), png_type)
        yield raw(bomb(chance.choice((5_000, 60_000, 2**31 - 1))), png_type)
        yield raw(tiff_with(chance.choice((1, 60_000))), "Content-Type: image/tiff")
        yield raw(b"GIF89a" + bytes(90), "Content-Type: image/gif")
        yield raw(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "Content-Type: image/svg+xml")
        yield raw(whole, "Content-Type: text/html")
        yield raw(whole, "Content-Type: " + "x" * 500)
        yield raw(b"", png_type)
        yield raw(b"x", png_type, "Content-Length: 99999999999")
        yield raw(b"x", png_type, "Content-Length: -1")
        yield raw(b"x", png_type, "Content-Length: 1", "Content-Length: 2")
        yield raw(b"ZZZ\r\n", png_type, "Transfer-Encoding: chunked")
        yield raw(whole, png_type, "X-Much: " + "y" * 40_000)
        yield raw(whole, png_type, *(f"X-{n}: {n}" for n in range(5000)))
        yield raw(whole, png_type, host="evil.example")
        yield raw(whole, png_type, "Origin: http://evil.example")
        yield raw(whole, png_type, path="/v1/predict?product=../../etc/passwd")
        yield raw(whole, png_type, path="/v1/predict?map=%00")
        yield raw(whole, png_type, path="/v1/../../../etc/passwd")
        yield raw(whole, png_type, path="/static/%2e%2e/%2e%2e/server.py")
        yield form(named % (b"../../../etc/cron.d/x", b"not an image"))
        yield form(named % (b"a\x00\r\n\xff", whole[:9]))
        yield form(named.replace(b"filename", b"other") % (b"a", whole))
        yield form(b"--b\r\n" * 3000)
        yield form(b"no boundary at all")
        yield form(named[:40])
        yield raw(named % (b"a.png", whole), "Content-Type: multipart/form-data")
        yield form(
            b"".join(named[:-9] % (b"%d.png" % n, b"x") + b"\r\n" for n in range(40)) + b"--b--\r\n"
        )
        yield b"GARBAGE\r\n\r\n"
        yield b"\x16\x03\x01\x02\x00\x01\x00" + chance.randbytes(64)  # TLS
        yield b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
        yield b"PUT /v1/pictures/1/mark HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n{{{"
        yield b"GET /v1/pictures/-9999999999999999999999/source HTTP/1.1\r\nHost: localhost\r\n\r\n"
        yield b"GET /v1/history?false_alarm_rate=nan HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def ask(port: int, request: bytes) -> int:
    """The status, or 0 where the server closed the connection without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        line = await asyncio.wait_for(reader.readline(), 90)
        return int(line.split()[1]) if line else 0
    except (ConnectionError, TimeoutError):
        return 0
    finally:
        writer.close()


async def ask_all(port: int, requests: list[bytes]) -> list[int]:
    free = asyncio.Semaphore(8)

    async def one(request: bytes) -> int:
        async with free:
            return await ask(port, request)

    return await asyncio.gather(*(one(request) for request in requests))


def resident_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the server's memory from /proc")
def test_a_thousand_hostile_requests(server: RunningServer) -> None:
    stream = hostile_requests()
    pid = server.process.pid
    asyncio.run(ask_all(server.port, [next(stream) for _ in range(150)]))  # warms every path up
    before, files = resident_mib(pid), open_files(pid)
    requests = [next(stream) for _ in range(COUNT)]
    statuses = asyncio.run(ask_all(server.port, requests))
    odd = Counter(status for status in statuses if status and not 400 <= status < 500)
    assert not odd, f"answered {dict(odd)}"
    assert Counter(statuses)[0] < COUNT * 0.15  # hung up on without a word: not even HTTP
    assert server.process.poll() is None
    assert resident_mib(pid) - before < 60
    deadline = time.monotonic() + 10
    while open_files(pid) > files + 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert open_files(pid) <= files + 3
    text = server.client.get("/metrics").text
    assert "\nblemish_images_in_progress 0.0\n" in text
    assert "\nblemish_upload_bytes 0.0\n" in text
    answer = server.client.post("/v1/predict", content=png(part(105)))
    assert answer.json()["results"][0]["score"] == 105
    assert "Traceback" not in server.log.read_text()


def test_who_sends_drop_by_drop_is_not_waited_for(start: Start) -> None:
    server = start("--timeout", 1.5)
    with socket.create_connection(("127.0.0.1", server.port), timeout=90) as slow:
        slow.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nX-A: ")
        started = time.monotonic()
        assert slow.recv(100) == b""
        assert 1 < time.monotonic() - started < 60
    with socket.create_connection(("127.0.0.1", server.port), timeout=90) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while b'"ok"}' not in answer:
            answer += slow.recv(2000)
        slow.sendall(b"GET /")  # the second request of a connection is no other
        assert slow.recv(100) == b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=90) as slow:
        slow.sendall(raw(b"", "Content-Type: image/png", "Content-Length: 1000") + b"\x89PNG")
        started = time.monotonic()
        assert slow.recv(100).startswith(b"HTTP/1.1 408 ")
        assert 1 < time.monotonic() - started < 60
    assert "\nblemish_upload_bytes 0.0\n" in server.client.get("/metrics").text
    assert server.stop() == 0


def test_more_connections_than_allowed_are_told_to_come_again(start: Start) -> None:
    server = start()
    open_ones = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(520)]
    last = open_ones[-1]
    last.settimeout(60)
    last.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert last.recv(2000).startswith(b"HTTP/1.1 503 ")
    for each in open_ones:
        each.close()
    assert server.client.get("/healthz").status_code == 200
    assert server.stop() == 0


def test_requests_sent_without_waiting_are_answered_in_their_order(server: RunningServer) -> None:
    asked = [b"/healthz", b"/nowhere", b"/readyz"]
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(
            b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in asked[:-1])
            + b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % asked[-1]
        )
        answers = b"".join(iter(lambda: client.recv(65536), b""))
    statuses = [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"404", b"200"]
    assert answers.index(b'{"status":"ok"}') < answers.index(b"404")
