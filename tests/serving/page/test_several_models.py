"""Several models of one server: a page of each, which model judges which source, the switch."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from page_steps import AXE, expect, faults, needs_chromium, until, upload
from running_server import RunningServer
from spot_model import part, png

if TYPE_CHECKING:
    from playwright.sync_api import Page

Start = Callable[..., RunningServer]


def folders(tmp_path: Path) -> tuple[Path, Path]:
    made = tmp_path / "left", tmp_path / "right"
    for folder in made:
        folder.mkdir()
    return made


@needs_chromium
def test_each_has_its_pages_and_its_camera(
    start: Start, look: Callable[..., Page], tmp_path: Path
) -> None:
    left, right = folders(tmp_path)
    cameras = ("--source", f"spots={left}", "--source", f"bolts={right}", "--keep-live", "all")
    server = start(tmp_path / "bolts.blemish", *cameras)
    page = look(server.url)
    assert page.url == f"{server.url}/inspect/spots/"
    (tmp_path / "one.png").write_bytes(png(part(104)))
    upload(page, [str(tmp_path / "one.png")], 1)
    page.click("#live-link")
    page.wait_for_selector("html[data-ready]")
    expect(page.locator("select[aria-label=Model] option")).to_have_text(
        ["spots: left", "bolts: right"]
    )
    (right / "9.png").write_bytes(png(part(180)))
    bolts = server.url + "/inspect/bolts"
    end = time.monotonic() + 60
    while not httpx.get(f"{bolts}/v1/live").json()["judged"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    (left / "7.png").write_bytes(png(part(104)))
    expect(page.locator("#count-ok")).to_have_text("1")
    assert page.locator("#count-defect").text_content() == "0"  # the other one's
    page.select_option("select[aria-label=Model]", "bolts")
    page.wait_for_url(f"{bolts}/live")
    page.wait_for_selector("#big.defect")
    until(page, "document.querySelector('#layer').naturalWidth > 0")
    page.click("a:text-is('Pictures')")
    page.wait_for_url(f"{bolts}/")
    expect(page.locator(".tile .name")).to_have_text(["9.png"])
    phone = look(f"{bolts}/", width=390, bypass_csp=bool(AXE))
    for name in ("", "live", "trend"):
        if name:
            phone.goto(f"{bolts}/{name}")
        phone.wait_for_selector("select[aria-label=Model]")
        assert not faults(phone), name
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["bolts", "spots"]
    assert server.stop() == 0


def test_programs_name_the_model_and_the_token_is_one(start: Start, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct-horse-battery")
    server = start(tmp_path / "bolts.blemish", "--token-file", tmp_path / "token")
    ask = server.client
    for path, status in {
        "/": 307,
        "/inspect/bolts": 307,
        "/inspect/bolts/": 200,
        "/inspect/bolts/trend": 200,
        "/static/main.js": 200,
        "/readyz": 200,
        "/v1/models": 401,
        "/inspect/bolts/v1/model": 401,
        "/inspect/bolts/metrics": 401,
        "/metrics": 401,
    }.items():
        assert ask.get(path).status_code == status, path
    ask.headers["Authorization"] = "Bearer correct-horse-battery"
    names = [{"name": name, "source": None} for name in ("spots", "bolts")]
    assert ask.get("/v1/models").json() == names
    for name in ("spots", "bolts"):
        found = ask.post(f"/inspect/{name}/v1/predict", content=png(part(180))).json()
        assert found["results"][0]["verdict"] == "defect"
        counted = ask.get(f"/inspect/{name}/metrics").text
        assert "blemish_predict_seconds_count 1.0" in counted
        assert 'blemish_requests_total{method="POST",route="/v1/predict",status="200"} 1' in counted
    counted = ask.get("/metrics").text
    for route in ("/v1/models", "/static/main.js"):
        assert f'blemish_requests_total{{method="GET",route="{route}",status="200"}} 1' in counted
    assert ask.get("/inspect/nuts/v1/model").json()["error"] == "no_such_model"
    assert server.stop() == 0


def test_a_name_may_be_any_files_and_the_last_slash_may_be_missing(
    start: Start, tmp_path: Path
) -> None:
    server = start(tmp_path / "bo#lt 1.blemish")
    for path, place in {"/": "spots", "/inspect/bo%23lt%201": "bo%23lt%201"}.items():
        answer = server.client.get(path)
        assert answer.headers["location"] == f"/inspect/{place}/"
        there = server.client.get(answer.headers["location"])
        assert (there.status_code, "<title>" in there.text) == (200, True)
    assert server.client.get("/inspect/bo%23lt%201/v1/model").json()["name"]
    assert server.stop() == 0


@needs_chromium
def test_a_list_that_does_not_come_stops_no_page(
    start: Start, look: Callable[..., Page], tmp_path: Path
) -> None:
    left, _ = folders(tmp_path)
    server = start(tmp_path / "bolts.blemish", "--source", f"spots={left}")
    page = look(f"{server.url}/inspect/bolts/live")  # it has no camera, and is in the list
    chosen = page.locator("select[aria-label=Model]")
    expect(chosen.locator("option")).to_have_text(["spots: left", "bolts"])
    expect(chosen).to_have_value("bolts")
    page.route("**/v1/models", lambda route: route.abort("connectionreset"))
    for name in ("", "live", "trend"):
        page.goto(f"{server.url}/inspect/spots/{name}")
        page.wait_for_selector("html[data-ready]")
        expect(chosen).to_have_value("spots")
    assert server.stop() == 0


@needs_chromium
def test_what_goes_wrong_is_said_on_a_page_without_a_line_for_it(
    start: Start, look: Callable[..., Page]
) -> None:
    page = look(f"{start().url}/trend")
    page.evaluate("import('/static/say.js')")  # as the studio does on all pages of a model
    event = "Object.assign(new Event('unhandledrejection'), {reason: new Error('No such file.')})"
    page.evaluate(f"dispatchEvent({event})")
    expect(page.locator("#toast.shown")).to_have_text("No such file.")
    expect(page.get_by_role("status").filter(has_text="No such file.")).to_be_visible()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--source", "in/"], "say which model judges it, NAME=ADDRESS, with a NAME of spots, bol"),
        (["--source", "bolts=in/", "--source", "bolts=b/"], "bolts looks at in/ already"),
        (["copy/spots.blemish"], "Found two models of one name"),
    ],
)
def test_what_cannot_be_served_is_said(
    start: Start, tmp_path: Path, words: list[Any], said: str
) -> None:
    with pytest.raises(AssertionError, match=re.escape(said)):
        start(tmp_path / "bolts.blemish", *words)
