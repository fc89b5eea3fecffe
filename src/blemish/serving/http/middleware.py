"""ASGI middleware: every request passes the gate, is counted, and leaves a line of log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blemish.serving.http.security import HEADERS, Gate
from blemish.serving.limits import RefusalError

log = logging.getLogger("blemish.serve")

LARGEST_HEADERS = 32 * 1024
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_DRAIN_BYTES = 16 * 2**20  # of a refused body are read and thrown away, so that a client listens
_DRAIN_SECONDS = 5.0


class Watched:
    """An application behind the gate."""

    def __init__(self, app: ASGIApp, gate: Gate, metrics: ServerMetrics) -> None:
        self._app = app
        self._metrics = metrics
        self._gate = gate
        self._headers = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 0
        body_ended = False

        async def receive_watched() -> Message:
            nonlocal body_ended
            message = await receive()
            body_ended = body_ended or not message.get("more_body", False)
            return message

        async def send_watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], *self._headers]
                if all(name.lower() != b"cache-control" for name, _ in message["headers"]):
                    headers.append((b"cache-control", b"no-store"))
                # A client that is still sending would not see the answer otherwise; one that was
                # too slow was waited for long enough.
                unheard = status >= 400 and status != 408 and not body_ended and _is_sending(scope)
                if unheard and not await _drain(receive):
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            await send(message)

        try:
            headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            try:
                _check_size(scope)
                self._gate.check(scope["method"], scope["path"], headers)
            except RefusalError as refusal:
                self._metrics.count_error(refusal.code)
                await refused(refusal)(scope, receive_watched, send_watched)
            else:
                await self._app(scope, receive_watched, send_watched)
        finally:
            self._note(scope, status, time.monotonic() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "other"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        # Of several models each counts its own; who was refused at the gate came to no application.
        metrics = scope["app"].state.metrics if "app" in scope else self._metrics
        metrics.count_request(route, method, status, seconds)
        client = scope.get("client") or ("-", 0)
        path = scope["path"][:120].encode("unicode_escape").decode()
        # No query and no body: names of pictures and their content stay out of the log.
        log.info("%s %s %s %d %.0f ms", client[0], method, path, status, 1000 * seconds)


def refused(refusal: RefusalError) -> JSONResponse:
    """The answer that says no."""
    content = {"error": refusal.code, "detail": refusal.detail}
    return JSONResponse(content, refusal.status, headers=refusal.headers)


def _check_size(scope: Scope) -> None:
    """Refuse large headers also where they came in one piece, which the parser lets pass."""
    size = len(scope["query_string"]) + len(scope["raw_path"] or b"")
    size += sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    if size > LARGEST_HEADERS:
        raise RefusalError(
            431,
            "large_headers",
            f"The headers hold {size:,} bytes; at most {LARGEST_HEADERS:,} are read.",
            headers={"Connection": "close"},
        )


def _is_sending(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    if b"expect" in headers:  # who asked whether to send has not begun
        return False
    length = headers.get(b"content-length", b"0")
    return b"transfer-encoding" in headers or (
        length.isdigit() and 0 < int(length[:20]) <= _DRAIN_BYTES
    )


async def _drain(receive: Receive) -> bool:
    """Read what is left of a body and throw it away, within bounds; whether that was all."""

    async def rest() -> bool:
        left = _DRAIN_BYTES
        while left > 0:
            message = await receive()
            left -= len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body", False):
                return True
        return False

    try:
        return await asyncio.wait_for(rest(), _DRAIN_SECONDS)
    except asyncio.TimeoutError:
        return False


_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


class ServerMetrics:
    """What a server counts. Label values come from fixed sets, so that it never grows."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._images = Counter(
            "blemish_images", "Images judged, by verdict.", ["verdict"], registry=registry
        )
        self._requests = Counter(
            "blemish_requests",
            "Requests answered.",
            ["route", "method", "status"],
            registry=registry,
        )
        self._errors = Counter(
            "blemish_errors", "Refusals and failures.", ["code"], registry=registry
        )
        self._latency = Histogram(
            "blemish_predict_seconds",
            "Time from a prediction request to its answer.",
            buckets=_BUCKETS,
            registry=registry,
        )
        for verdict in ("ok", "unsure", "defect", "none"):
            self._images.labels(verdict)

    def count_verdict(self, verdict: str | None) -> None:
        """One image was judged."""
        self._images.labels(verdict or "none").inc()

    def count_error(self, code: str) -> None:
        """One request or image was refused, or failed."""
        self._errors.labels(code).inc()

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request was answered, so long after its first header."""
        self._requests.labels(route, method, str(status)).inc()
        if route == "/v1/predict":
            self._latency.observe(seconds)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show a number that is kept elsewhere, and goes up and down."""
        Gauge(name, text, registry=self._registry).set_function(read)

    def watch_count(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show a count that is kept elsewhere."""

        class Read(Collector):
            def collect(self) -> Iterator[CounterMetricFamily]:
                yield CounterMetricFamily(name, text, value=read())

        self._registry.register(Read())

    def watch_all(self, read: Callable[[], Iterable[Metric]]) -> None:
        """Show whatever a function gives."""

        class All(Collector):
            def collect(self) -> Iterable[Metric]:
                return read()

        self._registry.register(All())

    def collect(self) -> Iterable[Metric]:
        """All of it."""
        return self._registry.collect()

    def text(self) -> str:
        """All of it, as Prometheus reads it: text format, version 0.0.4."""
        return generate_latest(self._registry).decode()
