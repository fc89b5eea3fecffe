"""The road of a new line in a browser, without a command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from page_steps import AXE, drop, expect, faults, needs_chromium, until, uploaded
from running_server import RunningServer
from studio_steps import give, picture

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium
Start = Callable[..., RunningServer]
Visit = Callable[..., "Page"]


def files(folder: Path, seeds: range, *, spot: bool = False) -> list[str]:
    paths = []
    for seed in seeds:
        path = folder / f"{'spot' if spot else 'part'}{seed:03}.png"
        path.write_bytes(picture(seed, spot=spot))
        paths.append(str(path))
    return paths


def filled(client: Any, good: int = 12, defects: int = 3) -> None:
    for k in range(good):
        give(client, f"nut/good/{k:02}.png", picture(k))
    for k in range(defects):
        give(client, f"nut/test/spots/{k:02}.png", picture(100 + k, spot=True))


def train(page: Page, recipe: str) -> None:
    page.click("text=Train >> nth=0")
    page.check(f"#recipe-{recipe}")
    until(page, f"document.querySelector('#train-name').value.endsWith('{recipe}')")
    if page.locator("#train-size").is_hidden():
        page.click(".more summary")
    page.fill("#train-size", "64")
    page.click("#train-form .main")
    until(page, "document.querySelectorAll('.job.running, .job.waiting').length > 0")
    until(page, "document.querySelectorAll('.job.running, .job.waiting').length === 0")
    until(page, "document.querySelector('.job:first-child').classList.contains('done')")


def test_from_nothing_to_limits(start_studio: Start, visit: Visit, tmp_path: Path) -> None:
    server = start_studio()
    page = visit(server.url, bypass_csp=bool(AXE))
    page.fill("input[aria-label^='Your name']", "Ada")
    page.press("input[aria-label^='Your name']", "Tab")
    page.fill("#new-product", "nut")
    page.select_option("#new-role", "good")
    page.set_input_files("#files", files(tmp_path, range(14)))
    until(page, "document.querySelectorAll('.thumb.good').length === 14")
    page.select_option("#new-role", "")
    mixed = files(tmp_path, range(20, 22)) + files(tmp_path, range(30, 33), spot=True)
    page.set_input_files("#files", mixed)
    until(page, "document.querySelectorAll('.thumb.unsorted').length === 5")
    for name in ("spot030", "spot031", "spot032"):
        page.click(f".thumb[data-path$='{name}.png']")
    page.fill("#kind", "spots")
    page.click("#chosen .mark-defect")
    until(page, "document.querySelectorAll('.thumb.defect').length === 3")
    assert (tmp_path / "line/pictures/nut/defect/spots/spot031.png").is_file()
    page.click(".thumb[data-path$='part013.png']")
    page.keyboard.press("l")
    until(page, "document.querySelectorAll('.thumb.out').length === 1")
    assert (tmp_path / "line/left_out.txt").read_text() == "nut/part013.png\n"

    train(page, "instant")
    train(page, "standard")
    page.click("text=Models >> nth=0")
    until(page, "document.querySelectorAll('.model').length === 2")

    page.click(".model:has(strong:text-is('nut-standard')) a:text-is('Inspect')")
    page.wait_for_selector("html[data-ready]")
    until(page, "document.querySelector('#model').textContent === 'nut-standard.blemish'")
    page.set_input_files("#files", mixed)
    until(page, "document.querySelectorAll('.tile').length === 5")
    until(page, "document.querySelectorAll('.tile.defect').length >= 3")
    uploaded(page)
    page.click("#limits-button-wide")
    until(page, "document.querySelector('#setters img')?.naturalWidth > 0")
    page.click("#setters button:text-is('Leave out…')")
    page.click("#proposal-use")
    until(page, "document.querySelectorAll('#versions li').length === 2")
    assert faults(page) == []
    page.click("#undo")
    until(page, "document.querySelector('#versions li[data-version=\"1\"] .now') !== null")
    page.click("text=Write limits into the model")
    until(page, "document.querySelector('#toast').textContent.includes('Calibration 1')")

    page.click("text=Compare >> nth=0")
    page.wait_for_selector("#compare-judge:enabled")
    page.click("#compare-judge")
    page.wait_for_selector("#compare-result table")
    expect(page.locator("#compare-result tbody tr").first).to_contain_text("3 of 3")
    page.click("text=Log >> nth=0")
    until(page, "document.querySelectorAll('#audit tr').length >= 6")
    expect(page.locator("#audit")).to_contain_text("Ada, engineer")


def test_a_folder_is_dropped_by_one_who_shows_a_token(
    start_studio: Start, visit: Visit, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("correct-horse-battery")
    page = visit(start_studio("--token-file", tmp_path / "token").url, ready=False)
    for token in ("something else", "correct-horse-battery"):
        page.fill("#token", token)
        page.keyboard.press("Enter")
        if token == "something else":
            expect(page.locator("#login-error")).to_contain_text("not a token of this studio")
    page.wait_for_selector("html[data-ready]")
    drop_from = tmp_path / "nut"
    for path in ("good/1.png", "good/2.pgm", "test/spots/3.png", "read.me"):
        (drop_from / path).parent.mkdir(parents=True, exist_ok=True)
        (drop_from / path).write_bytes(picture(len(path)))
    (drop_from / "good/2.pgm").write_bytes(b"P5 2 2 255 abcd")
    drop(page, drop_from)
    expect(page.locator(".thumb.good")).to_have_count(2)
    expect(page.locator(".thumb.defect")).to_have_count(1)
    expect(page.locator("#progress-text")).to_have_text("Found 2 good, 1 defect.")
    expect(page.locator("#progress-more")).to_contain_text("1 file that are no pictures")


def test_shapes_are_drawn_by_mouse_and_keyboard(
    start_studio: Start, visit: Visit, tmp_path: Path
) -> None:
    server = start_studio()
    filled(server.client, good=2, defects=1)
    page = visit(server.url)
    page.dblclick(".thumb.defect")
    until(page, "document.querySelector('#drawing').getAttribute('viewBox') === '0 0 64 64'")
    box = page.locator("#drawing").bounding_box()
    assert box
    for x, y in ((0.25, 0.25), (0.75, 0.25), (0.5, 0.75)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.click("#draw-close")
    page.click("#draw-save")
    outline = tmp_path / "line/pictures/nut/defect/spots/00-2.png.json"
    until(page, "document.querySelector('#draw-said').textContent.startsWith('Saved')")
    [shape] = json.loads(outline.read_text())["shapes"]
    drawn = [[round(value) for value in point] for point in shape["points"]]
    assert drawn == [[16, 16], [48, 16], [32, 48]]

    page.check("[name=layer][value=look]")
    page.locator("#drawing").focus()
    for moves in ("", "ArrowRight", "ArrowDown"):
        for _ in range(8 if moves else 0):
            page.keyboard.press(moves)
        page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.click("#draw-save")
    until(page, "document.querySelector('#draw-said').textContent.includes('next training')")
    region = json.loads((tmp_path / "line/regions/nut.json").read_text())
    assert region["look"] == [{"polygon": [[32, 32], [40, 32], [40, 40]]}]


@pytest.mark.slow  # two commands of learn, each the start of a process
def test_a_new_product_is_taught_from_marked_pictures(
    start_studio: Start, visit: Visit, learned: Callable[[str], None], tmp_path: Path
) -> None:
    server = start_studio()
    filled(server.client)
    learned("first")
    page = visit(server.url, bypass_csp=bool(AXE))
    # A folder of the new product is chosen; its pictures wait to be marked.
    page.fill("#new-product", "bolt")
    page.select_option("#new-role", "unsorted")
    page.set_input_files("#files", files(tmp_path, range(200, 210)))
    until(page, "document.querySelectorAll('.thumb.unsorted').length === 10")
    page.select_option("#product", "bolt")
    page.locator(".thumb").first.focus()
    page.keyboard.press("Control+a")
    page.click("#teach")
    expect(page.locator("#teach-text")).to_contain_text("None of the chosen pictures is marked")
    expect(page.locator("#teach-look")).to_be_disabled()
    page.click("#teach-cancel")
    page.click("#chosen .mark-good")
    until(page, "document.querySelectorAll('.thumb.good').length === 10")
    # One that is left out of learning is not taught either.
    page.click(".thumb[data-path$='part209.png']")
    page.keyboard.press("l")
    until(page, "document.querySelectorAll('.thumb.out').length === 1")
    page.locator(".thumb").first.focus()
    page.keyboard.press("Control+a")
    page.click("#teach")
    expect(page.locator("#teach-text")).to_contain_text("9 good pictures of bolt")
    page.click("#teach-look")
    page.wait_for_selector("#teach-write:visible")
    said = page.locator("#teach-said")
    expect(said).to_contain_text("nut: defect above")  # before and after, of what it knew
    expect(said).to_contain_text("(as before)")
    expect(said).to_contain_text("bolt: defect above")
    expect(said).to_contain_text("bolt (new)")
    assert not (tmp_path / "line/models/first-2.blemish").exists()
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert faults(page) == [], width
    page.set_viewport_size({"width": 1280, "height": 900})
    page.click("#teach-write")
    until(page, "document.querySelector('#teach-state').textContent.startsWith('Written')")
    page.click("#teach-cancel")
    page.click("text=Models >> nth=0")
    taught = page.locator(".model:has(strong:text-is('first-2'))")
    expect(taught).to_contain_text("nut, bolt")
    expect(taught).to_contain_text("then 7 of bolt")  # of nine, two set its limits
    taught.locator("a:text-is('Inspect')").click()
    page.wait_for_selector("html[data-ready]")
    until(page, "document.querySelector('#model').textContent === 'first-2.blemish'")
    page.set_input_files("#files", files(tmp_path, range(300, 301), spot=True))
    until(page, "document.querySelectorAll('.tile.defect').length === 1")
    uploaded(page)


def test_two_pages_see_the_same(start_studio: Start, visit: Visit) -> None:
    server = start_studio()
    filled(server.client, good=3, defects=0)
    one, other = visit(server.url), visit(server.url)
    one.click(".thumb >> nth=0")
    one.click("#chosen .mark-defect")
    until(other, "document.querySelectorAll('.thumb.defect').length === 1")
    one.click(".thumb.defect")
    one.fill("#chosen-product", "bolt")
    one.keyboard.press("Enter")
    expect(other.locator(".thumb[data-path^='bolt/defect/']")).to_have_count(1)


def test_five_thousand_pictures_stay_responsive(
    start_studio: Start, visit: Visit, tmp_path: Path
) -> None:
    folder = tmp_path / "line/pictures/nut/good"
    folder.mkdir(parents=True)
    content = picture(0)
    for k in range(5000):
        (folder / f"{k:04}.png").write_bytes(content)
    page = visit(start_studio().url)
    assert page.locator(".thumb").count() < 200
    page.locator(".thumb").first.focus()
    page.keyboard.press("End")
    until(page, "document.activeElement.dataset.path === 'nut/good/4999.png'")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_selector(".thumb[data-path='nut/good/0000.png']")
    assert page.locator(".thumb").count() < 200  # the grid builds what is in sight


@pytest.mark.parametrize(
    ("width", "scheme"), [(390, "dark"), pytest.param(1280, "light", marks=pytest.mark.slow)]
)
def test_every_page_fits_its_window(
    start_studio: Start, visit: Visit, learned: Callable[[str], None], width: int, scheme: str
) -> None:
    server = start_studio()
    filled(server.client)
    for name in ("first", "second"):
        learned(name)
    page = visit(server.url, width=width, color_scheme=scheme, bypass_csp=bool(AXE))
    assert faults_by_tab(page, server.url) == []


def faults_by_tab(page: Page, url: str) -> list[str]:
    found: list[str] = []
    tabs = ("pictures", "train", "models", "compare", "log", "viewer", "inspect", "limits", "trend")
    for tab in tabs:
        if tab == "viewer":
            page.goto(f"{url}/#pictures")
            page.reload()
            page.click("#roles button:nth-child(3)")
            page.dblclick(".thumb.defect >> nth=0")
        elif tab in ("inspect", "limits"):
            page.goto(f"{url}/inspect/first/")
            page.wait_for_selector("html[data-ready]")
            page.wait_for_selector("#limits-button-wide")
            if tab == "limits":
                page.click("#limits-button-wide")
        elif tab == "trend":
            page.click("text=Trend")
            page.wait_for_selector(".studio-nav")
            expect(page.locator("select[aria-label=Model] option")).to_have_count(2)
        else:
            page.goto(f"{url}/#{tab}")
            page.wait_for_selector(f"#{tab}:not([hidden])")
        page.wait_for_timeout(400)
        found += [f"{tab}: {fault}" for fault in faults(page)]
    return found
