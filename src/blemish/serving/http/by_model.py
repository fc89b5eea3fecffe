"""Several models of one server: the pages and routes of each lie below its name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from blemish.errors import BlemishError
from blemish.serving.http.app import add_metrics, add_session, bare_app, inspection_app
from blemish.serving.http.middleware import ServerMetrics, Watched, refused
from blemish.serving.http.page_files import add_pages, add_static
from blemish.serving.http.security import Gate
from blemish.serving.limits import RefusalError
from blemish.serving.live import LiveInspection
from blemish.serving.service import InspectionService


class ByModel:
    """What lies at ``/inspect/NAME/``.

    Args:
        pages: Has what all models share, at ``/``, ``/live``, ``/trend`` and ``/v1/session``.
        find: Gives the routes of the model of a name.
    """

    def __init__(self, pages: ASGIApp, find: Callable[[str], Awaitable[ASGIApp]]) -> None:
        self._pages, self._find = pages, find

    @property
    def routes(self) -> list[BaseRoute]:
        """Where it is to be found, also by who leaves the last slash out."""
        return [Mount("/inspect/{name}", app=self), Route("/inspect/{name}", _to_page)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path_params"]["name"]
        inner = scope["path"][len(scope["root_path"]) :]
        app = self._pages
        if inner not in ("/", "/live", "/trend", "/v1/session"):
            try:
                app = await self._find(name)
            except RefusalError as refusal:
                app = refused(refusal)
            except BlemishError as error:
                app = refused(RefusalError(409, "cannot_open", str(error)))
        await app(scope, receive, send)


def _to_page(request: Request) -> Response:
    return _page_of(request.path_params["name"])


def _page_of(name: str) -> Response:
    return RedirectResponse(f"/inspect/{quote(name, safe='')}/")


def below_static(text: str) -> str:
    """A page whose files all models of a server share."""
    return text.replace('"static/', '"/static/')


def create_several(
    models: Mapping[str, tuple[InspectionService, LiveInspection | None]], gate: Gate
) -> Watched:
    """The application of several models, by name, each with its camera where it has one."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for service, live in models.values():
            service.warm_up()
            if live is not None:
                live.start()
        yield
        for service, live in models.values():
            if live is not None:
                await live.close()
            await service.close()

    metrics = ServerMetrics()
    app, pages = bare_app(metrics, lifespan), bare_app(metrics)
    add_session(app, gate)
    add_session(pages, gate)
    add_pages(pages, "blemish.serving", edit=below_static)
    add_static(app, "blemish.serving")
    apps = {name: inspection_app(service, None, live) for name, (service, live) in models.items()}

    async def find(name: str) -> ASGIApp:
        if name not in apps:
            raise RefusalError(404, "no_such_model", f"There is no model {name[:60]!r} here.")
        return apps[name]

    @app.get("/", include_in_schema=False)
    async def first() -> Response:
        return _page_of(next(iter(apps)))

    @app.get("/v1/models", tags=["model"], summary="Names of the models, and what each looks at")
    async def listing() -> list[dict[str, Any]]:
        return [
            {"name": name, "source": None if live is None else live.grabber.camera.name}
            for name, (_, live) in models.items()
        ]

    @app.get("/healthz", tags=["supervision"], summary="The process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["supervision"], summary="All models are loaded and accept images")
    async def readyz() -> Response:
        if all(service.ready for service, _ in models.values()):
            return JSONResponse({"status": "ready"})
        return refused(RefusalError(503, "not_ready", "The server is starting or stopping."))

    add_metrics(app, metrics.text)
    app.router.routes.extend(ByModel(pages, find).routes)
    return Watched(app, gate, metrics)
