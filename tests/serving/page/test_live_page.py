"""The live page in a browser: verdicts as they come, the last twenty, a picture held, counts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from page_steps import needs_chromium, until
from running_server import RunningServer
from spot_model import part, png

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium


def test_verdicts_appear_as_they_come(
    start: Callable[..., RunningServer], look: Callable[..., Page], tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    server = start("--source", source)
    page = look(f"{server.url}/live")
    assert page.locator("#now").is_hidden()
    (source / "first.png").write_bytes(png(part(101)))
    page.wait_for_selector("#big.ok")
    assert page.inner_text("#word") == "OK"
    until(page, "document.querySelector('#picture').naturalWidth === 64")
    (source / "second.png").write_bytes(png(part(180)))
    page.wait_for_selector("#big.defect")
    assert page.inner_text("#word") == "NOT OK"
    until(page, "document.querySelector('#layer').naturalWidth > 0")
    assert page.locator("#last button").count() == 2
    assert [page.inner_text(f"#count-{v}") for v in ("ok", "unsure", "defect")] == ["1", "0", "1"]

    page.click("#last li:nth-child(2) button")  # the first one again, while the line goes on
    page.wait_for_selector("#big.ok")
    assert "first.png" in page.inner_text("#held")
    (source / "third.png").write_bytes(png(part(190)))
    until(page, "document.querySelectorAll('#last button').length === 3")
    assert page.inner_text("#word") == "OK"
    page.click("#back")
    page.wait_for_selector("#big.defect")
    page.click("#zero")
    until(page, "document.querySelector('#count-defect').textContent === '0'")
    assert page.locator("#dropped").inner_text() == "0"
    if shots := os.environ.get("BLEMISH_SCREENSHOTS"):
        page.screenshot(path=f"{shots}/live.png")
        phone = look(f"{server.url}/live", width=390)
        phone.wait_for_selector("#big.defect")
        phone.wait_for_timeout(500)
        phone.screenshot(path=f"{shots}/live-phone.png")
    assert server.stop() == 0


def test_without_a_camera_the_page_says_so(
    start: Callable[..., RunningServer], look: Callable[..., Page]
) -> None:
    server = start()
    page = look(server.url)
    assert page.locator("#live-link").is_hidden()
    page = look(f"{server.url}/live")
    assert "--source" in page.inner_text("#none")
    assert server.stop() == 0
