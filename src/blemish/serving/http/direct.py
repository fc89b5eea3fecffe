"""The short way for the request that comes thousands of times a minute.

FastAPI's way to an endpoint leads through six middlewares, two routers, three exit stacks and a
search for dependencies, which together cost as much as reading the request. An endpoint here is
called at once, and its errors are answered as FastAPI's are. It is also a route of FastAPI, which
describes it and answers every other method.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace

from starlette.requests import Request
from starlette.responses import Response

from blemish.serving.http.failures import FORESEEN, failure
from blemish.serving.http.metrics import ServerMetrics
from blemish.serving.http.watch import App, Message, Receive, Send

Endpoint = Callable[[Request], Awaitable[Response]]


class Direct:
    """An application with a short way to some endpoints.

    Args:
        app: Answers everything else.
        endpoints: By method and path.
        metrics: Counts errors.
    """

    def __init__(
        self, app: App, endpoints: Mapping[tuple[str, str], Endpoint], metrics: ServerMetrics
    ) -> None:
        self._app = app
        self._endpoints = {
            key: (endpoint, SimpleNamespace(path=key[1])) for key, endpoint in endpoints.items()
        }
        self._metrics = metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        found = self._endpoints.get((scope.get("method", ""), scope.get("path", "")))
        if found is None:
            await self._app(scope, receive, send)
            return
        endpoint, scope["route"] = found
        try:
            response = await endpoint(Request(scope, receive))
        except FORESEEN as error:
            response = failure(error, self._metrics)
        except Exception as error:
            await failure(error, self._metrics)(scope, receive, send)
            raise  # whoever runs the server logs where it comes from
        await response(scope, receive, send)
