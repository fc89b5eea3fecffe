"""Servers in processes of their own, and clients for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from running_server import RunningServer

from forked import Forked, ForkServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def start(forks: ForkServer, tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """``start(*options, model=None, **environment)``: a server of the spots, or of a model."""
    running: list[Forked] = []

    def begin(*options: object, model: Path | None = None, **environment: str) -> RunningServer:
        log = tmp_path / "server.log"
        process = forks.start(
            *("serve", model or tmp_path / "spots.blemish", "--port", "0"),
            *("--state", tmp_path / "state", *options),
            program="spot_model" if model is None else "blemish",
            cwd=Path.cwd(),
            log=log,
            **environment,
        )
        running.append(process)
        return RunningServer(process, log)

    yield begin
    for process in running:
        process.end()


@pytest.fixture(scope="session")
def server(forks: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the spots that several tests ask, each leaving it alive."""
    folder = tmp_path_factory.mktemp("server")
    process = forks.start(
        *("serve", folder / "spots.blemish", "--port", "0", "--max-megapixels", "1"),
        *("--max-mib", "2", "--timeout", "10", "--max-images", "8"),
        program="spot_model",
        cwd=folder,
        log=folder / "server.log",
    )
    running = RunningServer(process, folder / "server.log")
    yield running
    assert running.stop() == 0, running.log.read_text()[-3000:]


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Page]]:
    """``look(url, width=…)``: the page, ready. At the end: no error, and nothing from elsewhere."""
    complaints: list[str] = []
    contexts = []

    def visit(url: str, *, width: int = 1280, ready: bool = True, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
        page.on(
            "console",
            lambda said: (
                said.type == "error"
                and not re.search(
                    r"status of (401|415|409|422)|net::ERR_(CONNECTION|EMPTY|INC)", said.text
                )
                and complaints.append(said.text)
            ),
        )

        origin = "/".join(url.split("/")[:3])

        def request(asked: Any) -> None:
            if not asked.url.startswith((origin, "blob:", "data:")):
                complaints.append(f"asked {asked.url}")

        page.on("request", request)
        page.goto(url)
        if ready:
            page.wait_for_selector("html[data-ready]")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not complaints
