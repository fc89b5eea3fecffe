"""Web application of the studio: its pages and routes, and the opened models below ``/inspect``."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from blemish.errors import BlemishError
from blemish.serving.http.answers import LoginRequest
from blemish.serving.http.app import add_files, bare_app
from blemish.serving.http.middleware import ServerMetrics, Watched, refused
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
    add_files(app, "blemish.studio")
    for entry in files("blemish.serving").joinpath("page").iterdir():
        if entry.name.endswith((".css", ".svg")) or entry.name in ("api.js", "words.js"):
            _share(app, entry.name)
    app.router.routes.append(Mount("/inspect/{name}", app=_Inspect(studio, gate)))
    return Watched(app, gate, metrics)


class _Inspect:
    """The page and the routes of the model that a path names; the model is opened when asked."""

    def __init__(self, studio: Studio, gate: StudioGate) -> None:
        self._studio = studio
        self._page = bare_app(ServerMetrics())
        _add_session(self._page, gate, "/v1/session", studio)
        add_files(self._page, "blemish.serving", edit=lambda text: text.replace("</head>", _HEAD))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path_params"]["name"]
        inner = scope["path"][len(scope["root_path"]) :]
        if inner == "":
            target = f"/inspect/{html.escape(name)}/"
            await RedirectResponse(target)(scope, receive, send)
            return
        if inner in ("/", "/live", "/trend", "/v1/session") or inner.startswith("/static/"):
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


def _share(app: FastAPI, name: str) -> None:
    """A file of the inspection page, for the studio's own pages."""
    content = files("blemish.serving").joinpath(f"page/{name}").read_bytes()
    kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    kind = kinds[name.rpartition(".")[2]]

    async def file() -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    app.add_api_route(f"/static/{name}", file, methods=["GET", "HEAD"], include_in_schema=False)


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
