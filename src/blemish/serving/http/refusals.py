"""Refusals as the interface's own description names them: every route may answer with any."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from blemish.serving.http.answers import ErrorAnswer

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text}
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
    }.items()
}


def not_json(*kinds: str) -> dict[str, Any]:
    """Options of a route that answers with other content than JSON."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {"response_class": Response, "responses": {200: {"content": content}}}
