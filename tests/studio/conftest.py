"""Studios in processes of their own, and a browser for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
from running_server import RunningServer

from forked import Forked, ForkServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def start_studio(forks: ForkServer, tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """``start_studio(*options)``: a studio of ``tmp_path/line``; names change its environment."""
    running: list[Forked] = []

    def begin(*options: object, **changes: str) -> RunningServer:
        log = tmp_path / "studio.log"
        words = ("studio", tmp_path / "line", "--port", "0", *options)
        running.append(forks.start(*words, cwd=Path.cwd(), log=log, **changes))
        return RunningServer(running[-1], log)

    yield begin
    for process in running:
        process.end()


@pytest.fixture
def learned(forks: ForkServer, tmp_path: Path) -> Callable[..., None]:
    """``learned(name)``: a model of that name, and its table of all pictures, in the project.

    By the commands that the studio would run, without the start of Python that each takes there.
    """

    def make(name: str) -> None:
        model = f"models/{name}.blemish"
        tiny = ("--size", 64, "--teacher-weights", "random", "--false-alarm-rate", 0.1)
        good = ("--good", "nut=pictures/nut/good")
        for words in (
            ("fit", *good, "--out", model, "--method", "patchcore", *tiny),
            ("predict", model, "pictures", "--csv", f"judged/{name}.csv", "--rows", 0),
        ):
            run = forks.run(*words, cwd=tmp_path / "line")
            assert run.returncode in (0, 1), run.stderr

    return make


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """``visit(url, width=…)``: the studio in a browser. At the end: no error on any page."""
    complaints: list[str] = []
    contexts = []

    def go(url: str, *, width: int = 1280, ready: bool = True, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
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
    for context in contexts:
        context.close()
    refused = [text for text in complaints if "status of 4" not in text]  # the page says those
    assert not refused
