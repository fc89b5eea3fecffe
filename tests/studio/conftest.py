"""Studios in processes of their own, and a browser for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
from running_server import RunningServer

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def start_studio(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """``start_studio(*options)``: a studio of ``tmp_path/line``."""
    running: list[RunningServer] = []

    def begin(*options: object) -> RunningServer:
        words = [sys.executable, "-m", "blemish.cli.app", "studio", str(tmp_path / "line")]
        words += ["--port", "0", *map(str, options)]
        running.append(RunningServer(words, tmp_path / "studio.log", {}))
        return running[-1]

    yield begin
    for server in running:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture
def visit() -> Iterator[Callable[..., Page]]:
    """``visit(url, width=…)``: the studio in a browser. At the end: no error on any page."""
    sync_api = pytest.importorskip("playwright.sync_api")
    from page_steps import CHROMIUM  # which needs it

    complaints: list[str] = []
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)

        def go(url: str, *, width: int = 1280, ready: bool = True, **options: Any) -> Page:
            context = browser.new_context(viewport={"width": width, "height": 900}, **options)
            page = context.new_page()
            page.set_default_timeout(60_000)
            page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
            page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
            page.on("dialog", lambda dialog: dialog.accept())
            page.goto(url)
            if ready:
                page.wait_for_selector("html[data-ready]")
            return page

        yield go
        browser.close()
    refused = [text for text in complaints if "status of 4" not in text]  # the page says those
    assert not refused
