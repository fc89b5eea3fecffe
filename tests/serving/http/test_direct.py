"""The short way to an endpoint answers as the long one does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray
from spot_model import part, png, spot_model
from starlette.requests import Request
from starlette.responses import Response

from blemish.errors import ConfigError
from blemish.serving import service as service_room
from blemish.serving.history.database import Database
from blemish.serving.history.pictures import PictureHistory
from blemish.serving.history.versions import CalibrationVersions
from blemish.serving.http.app import create_app
from blemish.serving.http.direct import Direct
from blemish.serving.http.limits import ServeLimits
from blemish.serving.http.metrics import ServerMetrics
from blemish.serving.http.refusals import RefusalError
from blemish.serving.http.security import Gate
from blemish.serving.http.uploads import Upload, decode
from blemish.serving.service import InspectionService

RAW = {"Content-Type": "image/png"}
PATH = "/v1/predict"


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, FastAPI]]:
    """The application as it is served, and FastAPI's part of it."""
    model, limits = spot_model(), ServeLimits()
    folder: Path = tmp_path_factory.mktemp("direct")
    with contextlib.closing(Database.open(folder / "state", model.identity)) as database:
        service = InspectionService(
            model,
            PictureHistory(database, limits),
            CalibrationVersions(database, model.calibration),
            limits=limits,
            metrics=ServerMetrics(),
        )
        whole = create_app(service, Gate(token=None, loopback=True))
        direct: Any = whole._app
        yield whole, direct._app
        asyncio.run(service.close())


def ask(app: Any, method: str = "POST", path: str = PATH, **request: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **request)

    return asyncio.run(asked())


@pytest.mark.parametrize(
    "request_",
    [
        {"content": png(part(180)), "headers": RAW},
        {
            "content": png(part(180)),
            "headers": RAW,
            "params": {"product": "nut", "name": "a b.png"},
        },
        {"content": png(part(180)), "headers": RAW, "params": {"map": "heat", "keep": "no"}},
        {"content": png(part(180)), "headers": {**RAW, "Accept": "image/png"}},
        {"files": [("a", ("a.png", png(part(105)))), ("b", ("b.txt", b"text"))]},
        {"content": png(part()), "headers": RAW, "params": {"product": "x" * 201}},
        {"content": png(part()), "headers": RAW, "params": {"keep": "perhaps"}},
        {"content": png(part()), "headers": RAW, "params": {"map": "", "product": ""}},
        {"content": png(part()), "headers": RAW, "params": {"product": "screw"}},
        {"content": png(part()), "headers": RAW, "params": [("name", "one"), ("name", "two")]},
        {"content": png(part()), "headers": RAW, "params": {"unknown": "1"}},
        {"content": b"", "headers": RAW},
        {"content": b"%PDF-1.7", "headers": RAW},
        {"json": {"image": "x"}},
    ],
)
def test_both_ways_give_the_same_answer(
    ways: tuple[Any, FastAPI], request_: dict[str, Any]
) -> None:
    short, long = (ask(app, **request_) for app in ways)
    assert short.status_code == long.status_code
    assert short.content == long.content
    theirs = {name: value for name, value in short.headers.items() if name in long.headers}
    assert theirs == dict(long.headers)


@pytest.mark.parametrize(
    "request_",
    [
        {"content": b"%PDF-1.7", "headers": RAW},
        {"content": png(part())[:90], "headers": RAW},
        {"files": [("a", ("a.txt", b"text")), ("b", ("b.png", png(part())[:90]))]},
        {"content": png(part()), "headers": RAW},
    ],
)
def test_what_was_sent_is_gone_once_it_is_answered(
    ways: tuple[Any, FastAPI], request_: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[weakref.ref[Upload]] = []

    def watched(upload: Upload, **bounds: int) -> NDArray[np.uint8]:
        seen.append(weakref.ref(upload))
        return decode(upload, **bounds)

    monkeypatch.setattr(service_room, "decode", watched)
    enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(3):
            ask(ways[0], **request_)
        # The threads may still be letting go of the last one.
        assert [alive() for alive in seen[: len(seen) * 2 // 3]] == [None] * (len(seen) * 2 // 3)
    finally:
        if enabled:
            gc.enable()


def test_other_methods_and_paths_go_the_long_way(ways: tuple[Any, FastAPI]) -> None:
    assert ask(ways[0], "GET").status_code == 405
    assert ask(ways[0], "OPTIONS").status_code == 405
    assert ask(ways[0], path=PATH + "/").status_code == 404
    assert ask(ways[0], "GET", "/healthz").json() == {"status": "ok"}


def raising(error: Exception) -> tuple[Direct, ServerMetrics]:
    async def endpoint(request: Request) -> Response:
        raise error

    metrics = ServerMetrics()
    return Direct(FastAPI(), {("POST", PATH): endpoint}, metrics), metrics


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (RefusalError(409, "not_calibrated", "There are no limits."), 409, "not_calibrated"),
        (ConfigError("The score is nan."), 500, "model"),
        (ZeroDivisionError("secret"), 500, "bug"),
    ],
)
def test_errors_are_answered_in_the_common_form(error: Exception, status: int, word: str) -> None:
    app, metrics = raising(error)
    answer = ask(app)
    assert (answer.status_code, answer.json()["error"]) == (status, word)
    assert "secret" not in answer.text
    counted = word != "model"  # the log has it
    assert (f'blemish_errors_total{{code="{word}"}} 1' in metrics.text()) == counted


def test_a_bug_is_raised_once_it_is_answered_so_that_the_log_has_it() -> None:
    app, _ = raising(ZeroDivisionError("here"))
    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "POST", "path": PATH, "headers": [], "query_string": b""}
    with pytest.raises(ZeroDivisionError, match="here"):
        asyncio.run(app(scope, receive, send))
    assert sent == ["http.response.start", "http.response.body"]
