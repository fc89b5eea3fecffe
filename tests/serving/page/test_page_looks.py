"""The page on any screen, and words that can be read on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_steps import expect, files, needs_chromium
from running_server import RunningServer

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def judged(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where a server has judged six pictures with long names."""
    for path in files(tmp_path_factory.mktemp("looks"))[:6]:
        query = {"keep": "true", "name": "a/rather/long/folder/" + "name" * 30 + ".png"}
        answer = server.client.post("/v1/predict", content=Path(path).read_bytes(), params=query)
        assert answer.status_code == 200
    return server.url


@pytest.mark.parametrize(
    "width",  # the widest and the narrowest: between them lies one of each layout
    [1280, 320, *(pytest.param(w, marks=pytest.mark.slow) for w in (768, 390))],
)
def test_it_fits_its_window(judged: str, look: Callable[..., Page], width: int) -> None:
    page = look(judged, width=width, color_scheme="dark" if width == 768 else "light")
    page.wait_for_selector(".tile")

    def fits() -> None:
        wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], "the page scrolls sideways"
        small = page.evaluate(
            "[...document.querySelectorAll('button, select, .button')]"
            ".map((e) => [e.id || e.textContent, e.getBoundingClientRect()])"
            ".filter(([, r]) => r.width > 0 && (r.width < 24 || r.height < 24)).map(([n]) => n)"
        )
        assert not small, "too small for a finger"

    fits()
    if width <= 900:
        expect(page.locator("#limits")).to_be_hidden()
        page.click("#limits-button")
    expect(page.locator("#histogram svg")).to_be_visible()
    fits()
    if width <= 900:
        page.click("#limits-button")
    page.locator(".tile .open").first.click()
    page.wait_for_selector("#detail[open]")
    fits()
    stage = page.locator("#stage").bounding_box()
    assert stage
    assert stage["height"] > 300


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_words_can_be_read(judged: str, look: Callable[..., Page], scheme: str) -> None:
    page = look(judged, color_scheme=scheme)
    page.wait_for_selector(".tile")
    assert _contrasts(page) >= 4.5
    page.locator(".tile .open").first.click()
    page.wait_for_selector("#detail[open]")
    assert _contrasts(page) >= 4.5


def _contrasts(page: Page) -> float:
    """The least contrast of any visible text with what lies behind it, by WCAG 2's formula."""
    return float(
        page.evaluate(
            """() => {
      const shade = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      const rgba = (colour) => {
        shade.clearRect(0, 0, 1, 1); shade.fillStyle = colour; shade.fillRect(0, 0, 1, 1);
        return shade.getImageData(0, 0, 1, 1).data;
      };
      const light = (colour) => {
        const [r, g, b] = [...colour].slice(0, 3).map((v) => v / 255)
          .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
          const colour = rgba(getComputedStyle(at).backgroundColor);
          if (colour[3] > 250) return colour;
        }
        return [255, 255, 255];
      };
      const dialog = document.querySelector("dialog[open]");
      let least = 99;
      const walker = document.createTreeWalker(dialog ?? document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        const seen = element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
        if (!walker.currentNode.textContent.trim() || !seen) continue;
        const aside = ":disabled, .marks, .toast, option, dialog:not([open]), noscript, script";
        if (element.closest(aside)) continue;
        const style = getComputedStyle(element);
        const ink = element.closest("svg") ? style.fill : style.color;
        const [a, b] = [light(rgba(ink)), light(behind(element))].sort((x, y) => y - x);
        least = Math.min(least, (a + 0.05) / (b + 0.05));
      }
      return least;
    }"""
        )
    )
