"""What a client is told when its request fails: one answer for each kind of error."""

from __future__ import annotations

import logging

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from blemish.errors import BlemishError
from blemish.serving.http.metrics import ServerMetrics
from blemish.serving.http.refusals import RefusalError
from blemish.serving.http.watch import refused

log = logging.getLogger("blemish.serve")

#: What is foreseen. Anything else is a bug of ours.
FORESEEN = (RefusalError, RequestValidationError, HTTPException, BlemishError, ClientDisconnect)


def failure(error: Exception, metrics: ServerMetrics) -> Response:
    """The answer to a request that ended in an error, which is counted."""
    if isinstance(error, RefusalError):
        metrics.count_error(error.code)
        return refused(error)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:100]
        metrics.count_error("invalid")
        return refused(RefusalError(422, "invalid", f"{where}: {first['msg']}"[:300]))
    if isinstance(error, HTTPException):
        code = f"http_{error.status_code}"
        metrics.count_error(code)
        headers = dict(error.headers or {})
        return refused(RefusalError(error.status_code, code, str(error.detail), headers=headers))
    if isinstance(error, BlemishError):
        log.error("%s: %s", type(error).__name__, error)
        return refused(RefusalError(500, "model", str(error)))
    if isinstance(error, ClientDisconnect):
        return refused(RefusalError(400, "gone", "The client went away."))
    metrics.count_error("bug")
    return refused(RefusalError(500, "bug", "Something is wrong in the server; see its log."))
