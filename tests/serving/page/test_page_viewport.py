"""Large pictures on the page: only what is seen of them is sent, and it is sharp."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from page_steps import expect, needs_chromium, until, upload
from running_server import RunningServer
from spot_model import png

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium

PIECE = "document.querySelector('#detail-piece img')"
#: The colour of the piece's middle, as it was sent.
MIDDLE = f"""(() => {{
  const image = {PIECE}, canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const drawing = canvas.getContext("2d");
  drawing.drawImage(image, 0, 0);
  return [...drawing.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data].slice(0, 3);
}})()"""


def test_zoom_asks_for_pieces_and_never_for_the_picture(
    start: Callable[..., RunningServer], look: Callable[..., Page], tmp_path: Path
) -> None:
    picture = np.full((2400, 3200, 3), 60, np.uint8)
    picture[1200:1264, 800:864] = (200, 90, 40)
    grain = np.random.default_rng(0).integers(0, 4, picture.shape, np.uint8)
    (tmp_path / "large.png").write_bytes(png(picture + grain))
    server = start()
    page = look(server.url)
    upload(page, [str(tmp_path / "large.png")], 1)
    sent: list[tuple[str, int]] = []
    page.on("response", lambda r: sent.append((r.url, len(r.body()) if "/piece" in r.url else 0)))
    page.locator(".tile .open").first.click()
    until(page, "document.querySelector('#detail-source').naturalWidth === 1600")
    page.wait_for_selector("#detail-regions button", state="attached")
    until(page, "document.querySelector('#detail-piece').dataset.id !== undefined")
    page.wait_for_timeout(500)  # longer than the page waits before it asks for a piece
    assert not page.evaluate(f"{PIECE} !== null")  # all there is to see is there
    page.evaluate("document.querySelector('#detail-regions').open = true")
    page.locator("#detail-regions button").first.click()  # to the defect, enlarged
    until(page, f"{PIECE} !== null")
    red, green, blue = page.evaluate(MIDDLE)
    assert abs(red - 200) + abs(green - 90) + abs(blue - 40) < 20
    piece, canvas = (page.locator(at).bounding_box() for at in ("#detail-piece img", "#canvas"))
    assert piece
    assert canvas
    middle = (piece["x"] + piece["width"] / 2 - canvas["x"]) / canvas["width"]
    assert abs(middle - 832 / 3200) < 0.01  # it lies where it belongs
    before = page.evaluate(f"{PIECE}.src")
    page.evaluate("document.querySelector('#stage').scrollBy(600, 0)")
    until(page, f"{PIECE}.src !== {before!r}")
    page.keyboard.press("0")
    expect(page.locator("#detail-piece img")).to_have_count(0)
    assert not [url for url, _ in sent if url.endswith("/source")]
    assert sum(length for _, length in sent) < (tmp_path / "large.png").stat().st_size / 4
    assert server.stop() == 0
