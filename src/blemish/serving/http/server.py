"""HTTP server: uvicorn in this process, from the socket to its last answer.

The parser is h11 and not the faster httptools: with httptools uvicorn loses the body of a request
that offers an upgrade, and reads pipelined requests and trailers without bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prometheus_client
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from blemish.errors import ConfigError
from blemish.serving.events import Events
from blemish.serving.history.database import Database
from blemish.serving.history.pictures import PictureHistory
from blemish.serving.history.trend_log import Alarm, TrendLog
from blemish.serving.history.versions import CalibrationVersions
from blemish.serving.http.app import create_app
from blemish.serving.http.by_model import create_several
from blemish.serving.http.middleware import LARGEST_HEADERS, ServerMetrics, Watched
from blemish.serving.http.security import Gate, check_token, is_loopback
from blemish.serving.limits import ServeLimits
from blemish.serving.live import LiveInspection, LiveSource
from blemish.serving.model import ServedModel, open_served
from blemish.serving.order import Delivery
from blemish.serving.service import InspectionService
from blemish.stores.urls import as_url

log = logging.getLogger("blemish.serve")

_KEEP_ALIVE_SECONDS = 15


@dataclass(frozen=True)
class ToServe:
    """One model as ``blemish serve`` is told of it."""

    file: Path
    state: Path | None = None  # folder of its history
    delivery: Delivery | None = None
    source: LiveSource | None = None

    @property
    def name(self) -> str:
        """By which it is called beside others."""
        return self.file.name.removesuffix(".blemish")


def serve(
    models: Sequence[ToServe],
    limits: ServeLimits,
    *,
    host: str,
    port: int,
    token_file: Path | None,
    allow_anonymous: bool,
    allow_hosts: Sequence[str],
    device: str,
    provider: str,
) -> None:
    """Serve models until SIGTERM or Ctrl-C; what was accepted by then is finished.

    One is at ``/``; several are at ``/inspect/NAME/``. The arguments are the options of
    ``blemish serve``.

    Raises:
        ConfigError: An address without a token, a port in use, a file that cannot be read.
        BundleError: A model cannot be opened.
        HistoryError: A history is in use, damaged or another model's.
    """
    gate = make_gate(host, token_file, allow_anonymous=allow_anonymous, allow_hosts=allow_hosts)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(bind(host, port)))
        opened = {}
        for model in models:
            served = open_served(model.file, device=device, provider=provider)
            here = Path() if as_url(model.file) else model.file.parent
            state = model.state or here / f"{model.file.name}.state"
            database = Database.open(state, served.identity)
            stack.enter_context(contextlib.closing(database))
            opened[model.name] = _opened(model, served, database, limits)

        def end() -> None:
            for service, _ in opened.values():
                service.events.close()

        (service, live), *others = opened.values()
        app = create_several(opened, gate) if others else create_app(service, gate, live)
        names = ", ".join(model.file.name for model in models)
        run_app(app, limits, listener, names, ending=end)


def _opened(
    model: ToServe, served: ServedModel, database: Database, limits: ServeLimits
) -> tuple[InspectionService, LiveInspection | None]:
    events = Events()
    versions = CalibrationVersions(database, served.calibration, events.publish)

    def ring(found: Alarm) -> None:
        log.warning("%s", found.sentence)
        events.publish("alarm", product=found.product, sentence=found.sentence)
        if model.delivery is not None:
            model.delivery.tell(found.product, found.sentence)

    service = InspectionService(
        served,
        PictureHistory(database, limits, events.publish),
        versions,
        limits=limits,
        metrics=ServerMetrics(),
        delivery=model.delivery,
        events=events,
        trend=TrendLog(database, versions, ring),
    )
    return service, None if model.source is None else model.source.open(service)


def run_app(
    app: Watched,
    limits: ServeLimits,
    listener: socket.socket,
    name: str,
    *,
    ending: Callable[[], None],
) -> None:
    """Answer at a bound socket until SIGTERM or Ctrl-C; ``name`` is told with its address.

    ``ending`` is called when told to stop: pages would listen on, and every open answer is waited
    for.
    """
    _log_to_stderr()
    prometheus_client.disable_created_metrics()  # twice the lines, and nobody asks
    config = uvicorn.Config(
        app,
        http=_bounded(limits),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(limits.shutdown_seconds),
        h11_max_incomplete_event_size=LARGEST_HEADERS,
    )
    with _rare_collections():
        _Server(config, _url(listener), name, ending).run_until_told(listener)


def make_gate(
    host: str = "127.0.0.1",
    token_file: Path | None = None,
    *,
    allow_anonymous: bool = False,
    allow_hosts: Sequence[str] = (),
) -> Gate:
    """Who may talk to a server with these options."""
    token = None
    if token_file is not None:
        try:
            text = token_file.read_text("utf-8")
        except (OSError, UnicodeError) as error:
            raise ConfigError(f"--token-file {token_file}: {error}.") from error
        token = check_token(text, str(token_file))
    loopback = is_loopback(host)
    if not loopback and token is None and not allow_anonymous:
        raise ConfigError(
            f"--host {host} can be reached from other machines, and anybody there could "
            "see the pictures and change the limits. Give --token-file FILE, or bind 127.0.0.1 "
            "behind a proxy that asks for a password; --allow-anonymous lets everybody in."
        )
    return Gate(token=token, loopback=loopback, hosts=allow_hosts)


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address, not yet listening: a port in use is told before a model is loaded."""
    family, kind, protocol_number, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol_number)
    try:
        if sys.platform != "win32":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"Cannot serve at {host}, port {port} ({error.strerror or error}). Name another port "
            "with --port, or stop the program that uses it."
        ) from error
    return listener


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Garbage collection seldom, and never through what is loaded now, which stays.

    Requests leave hardly any garbage in circles, and looking for it takes time from every one.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _log_to_stderr() -> None:
    """Write the server's lines, and what its libraries warn of, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("blemish.serve", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False


def _bounded(limits: ServeLimits) -> type[H11Protocol]:
    """Uvicorn's HTTP protocol with a bound on connections and on the time for headers.

    Uvicorn waits for the headers of a request without end: its keep-alive time stops with the first
    byte. Its ``limit_concurrency`` refuses the requests of all clients once there are too many
    connections, without a time to come again, and lets further connections stay open.
    """

    class BoundedProtocol(H11Protocol):
        _patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.write(
                    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"
                    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
                )
                transport.close()
                return
            self._patience = self.loop.call_later(limits.header_seconds, self._lost_patience)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._patience is not None and not self._awaits_headers():
                self._patience.cancel()  # the headers are complete; the body has its own time
                self._patience = None
            elif self._patience is None and self._awaits_headers():  # the next request's
                self._patience = self.loop.call_later(limits.header_seconds, self._lost_patience)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._patience is not None:
                self._patience.cancel()
            super().connection_lost(exc)

        def _lost_patience(self) -> None:
            if self._awaits_headers():
                self.transport.close()

        def _awaits_headers(self) -> bool:
            cycle: Any = self.cycle  # None before the first request
            return cycle is None or cycle.response_complete

    return BoundedProtocol


class _Server(uvicorn.Server):
    """Says where it is once it answers, and ends with success when told to stop."""

    def __init__(
        self, config: uvicorn.Config, url: str, name: str, ending: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._url = url
        self._name = name
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            print(f"{self._name} is served at {self._url} (Ctrl-C stops)", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()
        await super().shutdown(sockets=sockets)

    def run_until_told(self, listener: socket.socket) -> None:
        # Uvicorn raises a caught signal once more when it is done; being told to stop is no error.
        told = {sig: signal.signal(sig, _nothing) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.run(sockets=[listener])
        finally:
            for sig, handler in told.items():
                signal.signal(sig, handler)


def _nothing(number: int, frame: object) -> None:
    """Stopping is done already."""


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
