"""The live page in a browser: verdicts as they come, the last twenty, a picture held, counts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from page_steps import AXE, expect, faults, needs_chromium, until
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
    expect(page.locator("#now")).to_be_hidden()
    (source / "first.png").write_bytes(png(part(101)))
    page.wait_for_selector("#big.ok")
    expect(page.locator("#word")).to_have_text("OK")
    until(page, "document.querySelector('#picture').naturalWidth === 64")
    (source / "second.png").write_bytes(png(part(180)))
    page.wait_for_selector("#big.defect")
    expect(page.locator("#word")).to_have_text("NOT OK")
    until(page, "document.querySelector('#layer').naturalWidth > 0")
    expect(page.locator("#last button")).to_have_count(2)
    for verdict, count in {"ok": "1", "unsure": "0", "defect": "1"}.items():
        expect(page.locator(f"#count-{verdict}")).to_have_text(count)

    page.click("#last li:nth-child(2) button")  # the first one again, while the line goes on
    page.wait_for_selector("#big.ok")
    expect(page.locator("#held")).to_contain_text("first.png")
    (source / "third.png").write_bytes(png(part(190)))
    until(page, "document.querySelectorAll('#last button').length === 3")
    expect(page.locator("#word")).to_have_text("OK")
    page.click("#back")
    page.wait_for_selector("#big.defect")
    page.click("#zero")
    until(page, "document.querySelector('#count-defect').textContent === '0'")
    expect(page.locator("#dropped")).to_have_text("0")
    for width in (1280, 390):
        seen = look(f"{server.url}/live", width=width, bypass_csp=bool(AXE))
        seen.wait_for_selector("#big.defect")
        assert not faults(seen)
        if shots := os.environ.get("BLEMISH_SCREENSHOTS"):
            seen.wait_for_timeout(500)
            seen.screenshot(path=f"{shots}/live-{width}.png")
    assert server.stop() == 0


def test_without_a_camera_the_page_says_so(
    start: Callable[..., RunningServer], look: Callable[..., Page]
) -> None:
    server = start()
    page = look(server.url)
    expect(page.locator("#live-link")).to_be_hidden()
    page = look(f"{server.url}/live")
    expect(page.locator("#none")).to_contain_text("--source")
    assert server.stop() == 0
