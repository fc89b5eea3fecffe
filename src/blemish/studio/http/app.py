"""Web application of the studio: its pages and routes, and the opened models below ``/inspect``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from blemish.serving.http.answers import LoginRequest
from blemish.serving.http.app import add_log_out, add_metrics, bare_app
from blemish.serving.http.by_model import ByModel, below_static
from blemish.serving.http.middleware import ServerMetrics, Watched
from blemish.serving.http.page_files import add_pages, add_static
from blemish.serving.http.security import COOKIE
from blemish.serving.limits import Admission, RefusalError
from blemish.studio.audit import acting
from blemish.studio.http.gate import StudioGate
from blemish.studio.http.job_routes import job_routes
from blemish.studio.http.line_routes import line_routes
from blemish.studio.http.metrics import ByModelMetrics, studio_metrics
from blemish.studio.http.picture_routes import picture_routes
from blemish.studio.studio import Studio

_HEAD = """<link rel="stylesheet" href="/static/nav.css">
<script type="module" src="/static/inspect.js"></script>
</head>"""


def create_app(studio: Studio, gate: StudioGate) -> Watched:
    """The application, behind the gate."""
    metrics = ServerMetrics()
    admission = Admission(studio.limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        studio.jobs.start()
        starting = asyncio.create_task(studio.inspections.start_lines())  # pages need not wait
        yield
        await starting
        await studio.inspections.close()

    app = bare_app(metrics, lifespan)
    app.include_router(picture_routes(studio, admission))
    app.include_router(job_routes(studio))
    app.include_router(line_routes(studio))

    @app.get("/healthz", tags=["supervision"], summary="The process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    metrics.watch_all(lambda: studio_metrics(studio))
    add_metrics(app, lambda: ByModelMetrics(metrics, studio.inspections.metrics()).text())
    _add_session(app, gate, studio)
    add_pages(app, "blemish.studio")
    add_static(app, "blemish.studio", "blemish.serving")
    pages = bare_app(metrics)
    _add_session(pages, gate, studio)
    add_pages(pages, "blemish.serving", edit=_in_studio)

    async def find(name: str) -> FastAPI:
        return (await studio.inspections.get(name)).app

    @app.get("/v1/models", tags=["models"], summary="Names of the models")
    def models() -> list[dict[str, Any]]:
        known = studio.models.all()
        names = [m["name"] for m in known if not m["error"]]
        return [{"name": name, "source": studio.inspections.camera_of(name)} for name in names]

    app.router.routes.extend(ByModel(pages, find).routes)
    return Watched(app, gate, metrics)


def _in_studio(text: str) -> str:
    """A page of one model, below the studio's bar; all models share its files."""
    return below_static(text).replace("</head>", _HEAD)


def _add_session(app: FastAPI, gate: StudioGate, studio: Studio) -> None:
    path = "/v1/session"

    @app.get(path, tags=["session"], summary="Whether a token is needed, and who asks")
    async def session(request: Request) -> dict[str, object]:
        role = gate.role_of(request.cookies.get(COOKIE))
        return {
            "needed": gate.needs_token,
            "known": role is not None,
            "role": role,
            "name": acting.get().name,
            "project": studio.folder.name if role else "",
        }

    @app.post(path, tags=["session"], summary="Show a token, get a cookie")
    async def login(request: Request, shown: LoginRequest) -> Response:
        found = gate.gate_of(shown.token.strip())
        if found is None:
            raise RefusalError(401, "wrong_token", "This is not a token of this studio.")
        role, known = found
        response = JSONResponse({"known": True, "role": role})
        known.let_in(response, secure=request.url.scheme == "https")
        return response

    add_log_out(app)
