"""The opened picture of a project: zoom into a large one asks for pieces, never for all of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from page_steps import expect, needs_chromium, until
from PIL import Image
from running_server import RunningServer
from studio_steps import give, picture

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium
Start = Callable[..., RunningServer]
Visit = Callable[..., "Page"]
PIECE = "document.querySelector('#viewer-piece img')"
SIZE = "document.querySelector('#viewer-picture').naturalWidth"


def large(side: int = 3000) -> bytes:
    """Grain, which no format makes small, and a mark at a quarter of width and height."""
    image = np.random.default_rng(0).integers(90, 110, (side, side, 3)).astype(np.uint8)
    image[side // 4 : side // 4 + 40, side // 4 : side // 4 + 40] = (200, 30, 30)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def test_zoom_asks_for_pieces_and_shapes_stay_where_they_are(
    start_studio: Start, visit: Visit
) -> None:
    server = start_studio()
    content = large()
    give(server.client, "nut/test/spots/large.png", content)
    give(server.client, "nut/test/spots/small.png", picture(1, spot=True))
    page = visit(server.url)
    sent: list[tuple[str, int]] = []
    page.on("response", lambda r: sent.append((r.url, len(r.body()) if "studio/p" in r.url else 0)))
    page.dblclick(".thumb[data-path$='large.png']")
    until(page, f"{SIZE} === 1600")
    page.wait_for_timeout(300)  # longer than it waits before it asks for a piece
    assert not page.evaluate(f"{PIECE} !== null")  # all there is to see is there
    box = page.locator("#drawing").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    for _ in range(8):
        page.mouse.wheel(0, -200)
    until(page, f"{PIECE} !== null")
    zoomed = page.locator("#drawing").bounding_box()
    assert zoomed
    assert zoomed["width"] > 2000
    # What was under the pointer is there still: a corner set there lies at a quarter.
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    page.mouse.click(box["x"] + box["width"] / 4 + 40, box["y"] + box["height"] / 4)
    points = page.evaluate("document.querySelector('#drawing polyline').getAttribute('points')")
    x, y = map(float, points.split()[0].split(","))
    assert abs(x - 750) < 12
    assert abs(y - 750) < 12
    page.click("#viewer-move")
    before = page.evaluate("document.querySelector('#stage').scrollLeft")
    page.mouse.move(300, 300)
    page.mouse.down()
    page.mouse.move(200, 300)
    page.mouse.up()
    assert page.evaluate("document.querySelector('#stage').scrollLeft") == before + 100
    assert page.evaluate("document.querySelector('#drawing polyline').getAttribute('points')") == (
        points
    )  # which drew nothing
    page.click("#viewer-fit")
    expect(page.locator("#viewer-piece img")).to_have_count(0)
    page.click("#viewer-next")  # a small one is sent as it is
    until(page, f"{SIZE} === 64")
    while not any("/v1/studio/picture?" in url for url, _ in sent):
        page.wait_for_timeout(20)  # bodies are told of after they are shown
    shown = [url for url, _ in sent if "/v1/studio/picture?" in url]
    assert len(shown) == 1
    assert "small.png" in shown[0]
    assert sum(length for _, length in sent) < len(content) / 4


def test_two_fingers_zoom_and_draw_nothing(start_studio: Start, visit: Visit) -> None:
    server = start_studio()
    give(server.client, "nut/good/large.png", large(1200))
    page = visit(server.url, width=390, has_touch=True)
    page.dblclick(".thumb")
    until(page, f"{SIZE} === 1200")
    devtools = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(places)]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (150, 150))
    touch("touchStart", (150, 150), (200, 150))
    for wider in range(10, 101, 10):
        touch("touchMove", (150 - wider, 150), (200 + wider, 150))
    touch("touchEnd")
    until(page, "document.querySelector('#viewer-zoom').textContent !== 'fit'")
    expect(page.locator("#drawing polyline")).to_have_count(0)
    page.touchscreen.tap(150, 150)
    expect(page.locator("#drawing polyline")).to_have_count(1)
