"""Servers in processes of their own, and clients for them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from running_server import RunningServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HERE = Path(__file__).parent


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """``start(*options, model=None, environment={})``: a server of the spots, or of a model."""
    running: list[RunningServer] = []

    def begin(*options: object, model: Path | None = None, **environment: str) -> RunningServer:
        program = [str(HERE / "spot_model.py")] if model is None else ["-m", "blemish.cli.app"]
        words = [sys.executable, *program, "serve", str(model or tmp_path / "spots.blemish")]
        words += ["--port", "0", "--state", str(tmp_path / "state"), *map(str, options)]
        running.append(RunningServer(words, tmp_path / "server.log", environment))
        return running[-1]

    yield begin
    for server in running:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the spots that several tests ask, each leaving it alive."""
    folder = tmp_path_factory.mktemp("server")
    words = [sys.executable, str(HERE / "spot_model.py"), "serve", str(folder / "spots.blemish")]
    words += ["--port", "0", "--max-megapixels", "1", "--max-mib", "2", "--timeout", "10"]
    words += ["--max-images", "8"]
    running = RunningServer(words, folder / "server.log", {})
    yield running
    assert running.stop() == 0, running.log.read_text()[-3000:]


@pytest.fixture(scope="module")  # while it is open, this thread has a running event loop
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api")
    from page_steps import CHROMIUM  # which needs it

    options = [
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield opened
        opened.close()


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
