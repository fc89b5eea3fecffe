"""The page hears of what others do: pictures of a line, marks, limits, a decision that is stale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from page_steps import expect, files, limit, limit_is, needs_chromium, until, upload
from running_server import RunningServer
from spot_model import part, png

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium


def test_two_pages_see_the_same_and_none_decides_on_what_has_changed(
    start: Callable[..., RunningServer], look: Callable[..., Page], tmp_path: Path
) -> None:
    server = start()
    first, second = look(server.url), look(server.url)
    upload(first, files(tmp_path)[:3], 3)
    until(second, "document.querySelectorAll('.tile').length === 3")
    query = {"keep": True, "name": "line.png"}
    server.client.post("/v1/predict", params=query, content=png(part(150)))
    for page in (first, second):
        until(page, "document.querySelectorAll('.tile').length === 4")
    expect(second.locator(".tile .name").first).to_have_text("line.png")
    first.locator(".tile .good").first.click()
    second.wait_for_selector('.tile .good[aria-pressed="true"]')

    second.click("#recalibrate")  # looks at a proposal while the other one decides
    second.wait_for_selector("#proposal[open]")
    first.click("#recalibrate")
    first.click("#proposal-use")
    first.wait_for_selector('#versions [data-version="2"] .now')
    expect(second.locator("#toast")).to_contain_text("put there elsewhere")
    second.wait_for_selector("#proposal-body [role=alert]")
    expect(second.locator("#proposal-body")).to_contain_text("somebody else changed the limits")
    expect(second.locator("#proposal-use")).to_be_disabled()
    expect(first.locator("#toast")).not_to_contain_text("put there elsewhere")
    second.click("#proposal-cancel")
    second.wait_for_selector('#versions [data-version="2"] .now')
    limit_is(second, limit(first))
    second.click("#recalibrate")
    second.wait_for_selector("#proposal[open]")
    expect(second.locator("#proposal-use")).to_be_enabled()
    assert server.stop() == 0
