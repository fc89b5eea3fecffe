"""Web application: its routes, the page, and one form of answer for every kind of error."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Lifespan

from blemish import __version__
from blemish.errors import BlemishError
from blemish.serving.http.answers import LoginRequest
from blemish.serving.http.history_routes import history_routes
from blemish.serving.http.live_routes import live_routes
from blemish.serving.http.marked_routes import marked_routes
from blemish.serving.http.middleware import ServerMetrics, Watched, refused
from blemish.serving.http.page_files import add_pages, add_static
from blemish.serving.http.predict_routes import predict_routes
from blemish.serving.http.refusals import DISK_FULL, REFUSALS, disk_is_full, not_json
from blemish.serving.http.security import COOKIE, Gate
from blemish.serving.http.trend_routes import trend_metrics, trend_routes
from blemish.serving.limits import RefusalError
from blemish.serving.live import LiveInspection
from blemish.serving.service import InspectionService

log = logging.getLogger("blemish.serve")


def create_app(
    service: InspectionService, gate: Gate, live: LiveInspection | None = None
) -> Watched:
    """The application, behind the gate; with a camera where the server has one."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.warm_up()
        if live is not None:
            live.start()
        yield
        if live is not None:
            await live.close()
        await service.close()

    app = inspection_app(service, lifespan, live)
    add_session(app, gate)
    add_pages(app, "blemish.serving")
    add_static(app, "blemish.serving")
    return Watched(app, gate, service.metrics)


def inspection_app(
    service: InspectionService,
    lifespan: Lifespan[FastAPI] | None = None,
    live: LiveInspection | None = None,
) -> FastAPI:
    """The routes of one model, without gate and page."""
    app = bare_app(service.metrics, lifespan)
    app.include_router(predict_routes(service))
    app.include_router(history_routes(service))
    app.include_router(live_routes(service, live))
    app.include_router(trend_routes(service))
    app.include_router(marked_routes(service))
    _add_supervision(app, service)
    if live is not None:
        _watch_camera(service.metrics, live)
    service.metrics.watch_all(lambda: trend_metrics(service))
    return app


def bare_app(metrics: ServerMetrics, lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """An application without routes that answers every kind of error in one form."""
    app = FastAPI(
        title="blemish",
        version=__version__,
        description="Visual anomaly detection for inspection: says of an image whether something "
        "is wrong, where, and how sure it is.",
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=lifespan,
        redirect_slashes=False,
        responses=REFUSALS,
    )
    app.state.metrics = metrics
    _add_errors(app, metrics)
    return app


def _add_errors(app: FastAPI, metrics: ServerMetrics) -> None:
    async def answer(request: Request, error: Exception) -> Response:
        refusal = _refusal(error)
        if not isinstance(error, (BlemishError, ClientDisconnect)):  # those are in the log, or gone
            metrics.count_error(refusal.code)
        return refused(refusal)

    async def full(request: Request, error: Exception) -> Response:
        if not disk_is_full(error):
            raise error  # to be answered as any other bug, with its place in the log
        log.error("The disk is full: %s", error)
        return await answer(request, DISK_FULL)

    foreseen = (RefusalError, RequestValidationError, HTTPException, BlemishError, ClientDisconnect)
    for kind in (*foreseen, Exception):
        app.add_exception_handler(kind, answer)
    for kind in (OSError, sqlite3.OperationalError):
        app.add_exception_handler(kind, full)


def _refusal(error: Exception) -> RefusalError:
    if isinstance(error, RefusalError):
        return error
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:100]
        return RefusalError(422, "invalid", f"{where}: {first['msg']}"[:300])
    if isinstance(error, HTTPException):
        code = f"http_{error.status_code}"
        headers = dict(error.headers or {})
        return RefusalError(error.status_code, code, str(error.detail), headers=headers)
    if isinstance(error, BlemishError):
        log.error("%s: %s", type(error).__name__, error)
        return RefusalError(500, "model", str(error))
    if isinstance(error, ClientDisconnect):
        return RefusalError(400, "gone", "The client went away.")
    # Starlette raises it once more behind this answer, so that the log says where it comes from.
    return RefusalError(500, "bug", "Something is wrong in the server; see its log.")


def _add_supervision(app: FastAPI, service: InspectionService) -> None:
    metrics, admission, queue = service.metrics, service.admission, service.queue
    for name, text, read in (
        ("blemish_queue_depth", "Images waiting for the network.", lambda: queue.depth),
        ("blemish_images_in_progress", "Images accepted, not answered.", lambda: admission.images),
        ("blemish_upload_bytes", "Bytes of bodies in memory.", lambda: admission.bytes),
        (
            "blemish_calibration_version",
            "Calibration in force.",
            lambda: service.versions.active.version,
        ),
    ):
        metrics.watch(name, text, read)
    metrics.watch_count("blemish_network_passes", "Passes of the network.", lambda: queue.passes)

    @app.get("/healthz", tags=["supervision"], summary="The process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["supervision"], summary="The model is loaded and accepts images")
    async def readyz() -> Response:
        if service.ready:
            return JSONResponse({"status": "ready"})
        return refused(RefusalError(503, "not_ready", "The server is starting or stopping."))

    add_metrics(app, metrics.text)


def add_metrics(app: FastAPI, read: Callable[[], str]) -> None:
    """What is counted, for Prometheus, as a function gives it."""

    @app.get(
        "/metrics",
        tags=["supervision"],
        summary="Counters for Prometheus",
        **not_json("text/plain"),
    )
    async def prometheus() -> PlainTextResponse:
        return PlainTextResponse(read(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _watch_camera(metrics: ServerMetrics, live: LiveInspection) -> None:
    grabber = live.grabber
    for name, text, count in (
        ("blemish_camera_frames", "Frames that the camera gave.", lambda: grabber.seen),
        ("blemish_camera_wanted", "Frames that the trigger wanted judged.", lambda: grabber.fired),
        ("blemish_camera_dropped", "Of these, dropped for newer ones.", lambda: grabber.dropped),
    ):
        metrics.watch_count(name, text, count)
    text = "Whether the camera gives pictures."
    metrics.watch("blemish_camera_up", text, lambda: grabber.state == "running")


def add_session(app: FastAPI, gate: Gate) -> None:
    """Log-in and log-out."""

    @app.get("/v1/session", tags=["session"], summary="Whether a token is needed and known")
    async def session(request: Request) -> dict[str, bool]:
        known = gate.knows_session(request.cookies.get(COOKIE))
        return {"needed": gate.needs_token, "known": known or not gate.needs_token}

    @app.post("/v1/session", tags=["session"], summary="Show the token, get a cookie")
    async def login(request: Request, shown: LoginRequest) -> Response:
        if not gate.knows_token(shown.token.strip()):
            raise RefusalError(401, "wrong_token", "This is not the token of this server.")
        response = JSONResponse({"known": True})
        gate.let_in(response, secure=request.url.scheme == "https")
        return response

    add_log_out(app)


def add_log_out(app: FastAPI) -> None:
    """Log-out, of a server as of a studio."""

    @app.delete("/v1/session", tags=["session"], summary="Forget the cookie")
    async def logout() -> Response:
        response = JSONResponse({"known": False})
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response
