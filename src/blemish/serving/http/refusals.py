"""Refusals as the interface's own description names them: every route may answer with any."""

from __future__ import annotations

import errno
import sqlite3
from typing import Any

from fastapi import Response

from blemish.serving.http.answers import ErrorAnswer
from blemish.serving.limits import RefusalError

#: Of a form that FastAPI reads from the first of them alone: for each of all, and for every route,
#: it would make a validator of its own, half of the time a server takes to start.
_FORM: dict[str, Any] = {
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, **({"model": ErrorAnswer} if status == 400 else _FORM)}
    for status, text in {
        400: "The body cannot be read",
        401: "The token is missing or wrong",
        403: "Another page, or another name of the server, than is let in",
        404: "There is no such thing",
        408: "The request did not arrive in time",
        409: "Not as things stand; what has changed meanwhile is said",
        413: "Too many bytes, pixels or images",
        415: "Not an image, or not JSON",
        422: "A value, or an image, that cannot be used",
        431: "Headers or address are too long",
        500: "The model cannot say, or a bug; see the server's log",
        503: "Busy; come again after Retry-After seconds",
        504: "No answer in time",
        507: "The disk is full, or what may be kept is",
    }.items()
}

DISK_FULL = RefusalError(
    507,
    "disk_full",
    "The server's disk is full, and this could not be done. Files are whole, as they were or new. "
    "Make room and try again.",
)


def disk_is_full(error: Exception) -> bool:
    """Whether that is why something could not be written, be it a file or a database."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.OperationalError) and "disk is full" in str(error)


def not_json(*kinds: str) -> dict[str, Any]:
    """Options of a route that answers with other content than JSON."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {"response_class": Response, "responses": {200: {"content": content}}}
