"""Web application of the studio: its pages and routes, and the opened models below ``/inspect``."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from blemish.errors import BlemishError
from blemish.serving.http.answers import LoginRequest
from blemish.serving.http.app import bare_app
from blemish.serving.http.middleware import ServerMetrics, Watched, refused
from blemish.serving.http.page_files import add_pages, add_static
from blemish.serving.http.security import COOKIE
from blemish.serving.limits import Admission, RefusalError
from blemish.studio.audit import acting
from blemish.studio.http.gate import StudioGate
from blemish.studio.http.job_routes import job_routes
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
        yield
        await studio.inspections.close()

    app = bare_app(metrics, lifespan)
    app.include_router(picture_routes(studio, admission))
    app.include_router(job_routes(studio))

    @app.get("/healthz", tags=["supervision"], summary="The process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    _add_session(app, gate, "/v1/session", studio)
    add_pages(app, "blemish.studio")
    add_static(app, "blemish.studio", "blemish.serving")
    app.router.routes.append(Mount("/inspect/{name}", app=_Inspect(studio, gate)))
    return Watched(app, gate, metrics)


class _Inspect:
    """The page and the routes of the model that a path names; the model is opened when asked."""

    def __init__(self, studio: Studio, gate: StudioGate) -> None:
        self._studio = studio
        self._page = bare_app(ServerMetrics())
        _add_session(self._page, gate, "/v1/session", studio)
        add_pages(self._page, "blemish.serving", edit=_in_studio)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path_params"]["name"]
        inner = scope["path"][len(scope["root_path"]) :]
        if inner == "":
            target = f"/inspect/{html.escape(name)}/"
            await RedirectResponse(target)(scope, receive, send)
            return
        if inner in ("/", "/live", "/trend", "/v1/session"):
            await self._page(scope, receive, send)
            return
        try:
            inspection = await self._studio.inspections.get(name)
        except RefusalError as refusal:
            await refused(refusal)(scope, receive, send)
        except BlemishError as error:
            await refused(RefusalError(409, "cannot_open", str(error)))(scope, receive, send)
        else:
            await inspection.app(scope, receive, send)


def _in_studio(text: str) -> str:
    """A page of one model, below the studio's bar; all models share its files."""
    return text.replace('"static/', '"/static/').replace("</head>", _HEAD)


def _add_session(app: FastAPI, gate: StudioGate, path: str, studio: Studio) -> None:
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

    @app.delete(path, tags=["session"], summary="Forget the cookie")
    async def logout() -> Response:
        response = JSONResponse({"known": False})
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response
