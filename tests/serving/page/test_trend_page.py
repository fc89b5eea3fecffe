"""The trend page in a browser: a line that stays below its threshold, and one that crosses it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from page_steps import AXE, expect, faults, needs_chromium, until
from running_server import RunningServer
from spot_model import part, png

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium


def test_a_lamp_that_changes_is_seen_on_an_open_page(
    start: Callable[..., RunningServer], look: Callable[..., Page]
) -> None:
    server = start(SPOT_LOOK="61.5")
    page = look(f"{server.url}/trend")
    expect(page.locator("#none")).to_contain_text("Nothing has been judged yet")
    levels = np.random.default_rng(0).integers(100, 122, 260)

    def judge(some: np.ndarray, ground: int) -> None:
        for level in some:
            server.client.post("/v1/predict", content=png(part(int(level), ground=ground)))

    judge(levels[:150], 60)
    page.reload()
    page.wait_for_selector(".state:not(.few)")
    expect(page.locator(".state")).to_contain_text("No sign of a change in 150 parts")
    expect(page.locator(".chart")).to_have_count(2)
    keep = {"keep": True, "name": "before.png"}
    server.client.post("/v1/predict", params=keep, content=png(part(101)))
    judge([*levels[150:], 180], 63)
    page.wait_for_selector("#alarms .warn")
    expect(page.locator("#alarms")).to_contain_text("most of all by brightness")
    page.wait_for_selector(".state.rang")
    label = page.locator(".chart").first.get_attribute("aria-label")
    assert label is not None
    assert "it rings at 100 : 1" in label
    # What it was like is kept, and of what it is like nothing yet: that is said, then shown.
    expect(page.locator(".sides figure")).to_contain_text("Before before.png")
    expect(page.locator(".sides .nothing")).to_contain_text("no picture is kept. To have some")
    keep["name"] = "since.png"
    server.client.post("/v1/predict", params=keep, content=png(part(102, ground=63)))
    expect(page.locator(".sides figure")).to_have_count(2)
    until(page, "[...document.querySelectorAll('.sides img')].every((i) => i.naturalWidth > 0)")
    rows = page.locator(".product .scroll").first.locator("tbody tr")
    expect(rows.first).to_contain_text(re.compile(r"brightness\s*61\.5\s*6\d\.\d"))
    page.click(".product summary")
    until(page, "document.querySelectorAll('.product details tbody tr').length === 1")
    expect(page.locator(".product h2").first).to_have_text("nut")
    expect(page.locator("#marked")).to_be_hidden()
    server.client.post("/v1/predict", params={"keep": True}, content=png(part(180)))
    server.client.put("/v1/pictures/3/mark", json={"mark": "defect"})
    page.wait_for_selector("#marked")
    expect(page.locator("#marked-table")).to_contain_text("1 of 1 (")
    for width in (1280, 390):
        seen = look(f"{server.url}/trend", width=width, bypass_csp=bool(AXE))
        seen.wait_for_selector(".sides figure")
        assert not faults(seen)
        if shots := os.environ.get("BLEMISH_SCREENSHOTS"):
            seen.wait_for_timeout(500)
            seen.screenshot(path=f"{shots}/trend-{width}.png", full_page=True)
    assert server.stop() == 0
