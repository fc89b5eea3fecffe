"""Page files: what a browser is given, each by a fixed route; no path of a client names a file.

All pages have one head, put where ``<!-- head -->`` stands in them, and learn from it and from
``accept`` what would otherwise be written twice: which files are pictures is said once, in Python.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files

from fastapi import FastAPI, Request, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from blemish.data.images.image_list import IMAGE_SUFFIXES

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEAD = """<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="static/page.css">
<link rel="stylesheet" href="static/parts.css">"""
# Phones offer their camera for image/*; files are told to be pictures by the endings.
_ACCEPT = f'accept="{",".join(["image/*", *sorted(IMAGE_SUFFIXES)])}"'


def add_pages(
    app: FastAPI, package: str, *, index: str = "/", edit: Callable[[str], str] = str
) -> None:
    """The pages of a package's ``page/``: ``index.html`` at ``index``, others beside it.

    ``edit`` changes the text of each.
    """
    for entry in files(package).joinpath("page").iterdir():
        name, _, suffix = entry.name.rpartition(".")
        if suffix == "html":
            text = entry.read_text("utf-8").replace("<!-- head -->", _HEAD)
            text = edit(text.replace('accept="image/*"', _ACCEPT))
            _serve(app, index + ("" if name == "index" else name), text.encode(), ".html")


def add_static(app: FastAPI, *packages: str) -> None:
    """All else of their ``page/``, below ``/static/``; their names are all different."""
    for package in packages:
        for entry in files(package).joinpath("page").iterdir():
            suffix = "." + entry.name.rpartition(".")[2]
            if suffix in _TYPES and suffix != ".html":
                _serve(app, f"/static/{entry.name}", entry.read_bytes(), suffix)


class _FileRoute(Route):
    """A route by whose path requests are counted, as by FastAPI's own.

    Making those takes far longer: what an endpoint takes and may answer is read, and a file takes
    nothing.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return match, {**found, "route": self}


def _serve(app: FastAPI, path: str, content: bytes, suffix: str) -> None:
    tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}

    async def page_file(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=_TYPES[suffix], headers=headers)

    app.router.routes.append(_FileRoute(path, page_file))
