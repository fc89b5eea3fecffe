"""An answer leaves in one piece."""

from __future__ import annotations

import asyncio
import socket

from running_server import RunningServer

from blemish.serving.http.protocol import OneWrite


class Wire:
    """A transport that notes what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.name = "wire"

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.sent.append(b"closed")


def test_what_is_written_is_held_until_the_answer_is_complete() -> None:
    async def write() -> list[bytes]:
        wire = Wire()
        transport = OneWrite(wire, asyncio.get_running_loop())
        transport.write(b"head ")
        transport.write(b"body")
        transport.write(b"")
        assert wire.sent == []
        transport.flush()
        transport.flush()
        assert wire.sent == [b"head body"]
        await asyncio.sleep(0.05)
        return wire.sent

    assert asyncio.run(write()) == [b"head body"]


def test_an_answer_that_comes_slowly_leaves_as_it_comes() -> None:
    async def write() -> list[bytes]:
        wire = Wire()
        transport = OneWrite(wire, asyncio.get_running_loop())
        for part in (b"one", b"two"):
            transport.write(part)
            while part not in wire.sent:
                await asyncio.sleep(0.001)
        return wire.sent

    assert asyncio.run(asyncio.wait_for(write(), 30)) == [b"one", b"two"]


def test_what_is_large_goes_at_once_so_that_it_can_be_slowed_down() -> None:
    async def write() -> list[bytes]:
        wire = Wire()
        transport = OneWrite(wire, asyncio.get_running_loop())
        transport.write(b"head")
        transport.write(bytes(2**20))
        assert [len(data) for data in wire.sent] == [4 + 2**20]
        await asyncio.sleep(0.05)
        return wire.sent

    assert len(asyncio.run(write())) == 1


def test_nothing_held_is_lost_by_closing() -> None:
    async def write() -> list[bytes]:
        wire = Wire()
        transport = OneWrite(wire, asyncio.get_running_loop())
        transport.write(b"last words")
        transport.close()
        assert transport.name == "wire"  # all else is the transport's own
        await asyncio.sleep(0.05)
        return wire.sent

    assert asyncio.run(write()) == [b"last words", b"closed"]


def test_a_client_has_headers_and_body_from_one_read(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"status":"ok"}')


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
