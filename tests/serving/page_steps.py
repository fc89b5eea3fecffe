"""What people do on the page, in the words of the tests."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from spot_model import part, png

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect.set_options(timeout=60_000)  # waits for what a page is about to show; an assert looks once
AXE = os.environ.get("BLEMISH_AXE", "")  # axe.min.js of npm's axe-core
CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs chromium on PATH (Debian: apt-get install chromium)"
)


def files(tmp_path: Path) -> list[str]:
    """Two defects, one at the limit, three good parts, and one that is no picture."""
    content = {
        "good 1.png": png(part(101)),
        "good 2.png": png(part(104, size=(128, 128))),
        "good 3.png": png(part(108)),
        "odd.png": png(part(126)),
        "scratch.png": png(part(spot=200)),
        "stain.png": png(part(spot=240)),
        "notes.png": b"these are notes",
    }
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    return [str(tmp_path / name) for name in content]


def until(page: Page, expression: str) -> None:
    """Wait for something to be so. Playwright's own wait evaluates text, which the page forbids."""
    deadline = time.monotonic() + 60
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"never so: {expression}"
        page.wait_for_timeout(50)


def upload(page: Page, paths: list[str], pictures: int) -> None:
    page.set_input_files("#files", paths)
    until(page, f"document.querySelectorAll('.tile').length === {pictures}")
    uploaded(page)


def uploaded(page: Page) -> None:
    until(
        page,
        "!document.querySelector('#progress-text').textContent.includes(' of ')"
        " || document.querySelector('#progress').hidden",
    )


def faults(page: Page) -> list[str]:
    """A page that scrolls sideways, and what axe-core finds serious, where ``BLEMISH_AXE`` is set.

    It is to be visited with ``bypass_csp=bool(AXE)``.
    """
    wide, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    found = ["scrolls sideways"] if wide > window else []
    if AXE:
        page.evaluate(Path(AXE).read_text())
        serious = [
            fault
            for fault in page.evaluate("axe.run()")["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
        found += [f"{f['id']}: {[n['html'][:120] for n in f['nodes'][:3]]}" for f in serious]
    return found


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders from elsewhere on the page, as a hand does."""
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 200, "y": 200, "data": data}
        devtools.send("Input.dispatchDragEvent", event)


def names(page: Page) -> list[str]:
    return page.locator(".tile .name").all_text_contents()


def limit_is(page: Page, value: float) -> None:
    until(
        page,
        f"Number(document.querySelector('#histogram text.defect')?.dataset.limit) === {value}",
    )


def limit(page: Page) -> float:
    return float(page.locator("#histogram text.defect").get_attribute("data-limit") or "nan")
