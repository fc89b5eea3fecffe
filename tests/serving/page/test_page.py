"""The page as people use it: a real browser, a real server, and what they do at the line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_steps import drop, expect, files, limit, limit_is, names, needs_chromium, until, upload
from running_server import RunningServer
from spot_model import part, png

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium
Start = Callable[..., RunningServer]


def test_look_decide_recalibrate_and_find_it_again(
    start: Start, look: Callable[..., Page], tmp_path: Path
) -> None:
    server = start()
    page = look(server.url)
    expect(page.locator("#empty")).to_be_visible()
    upload(page, files(tmp_path), 6)
    for place, name in enumerate(["stain.png", "scratch.png", "odd.png"]):
        expect(page.locator(".tile .name").nth(place)).to_have_text(name)
    expect(page.locator(".tile.defect")).to_have_count(3)
    expect(page.locator("#progress-text")).to_contain_text("1 file could not be judged")
    expect(page.locator("#progress-more summary")).to_have_text("What was found")
    expect(page.locator("#progress-more li", has_text="notes.png")).to_be_visible()
    until(
        page,
        "[...document.querySelectorAll('.tile img')].slice(0, 4)"
        ".every((image) => image.complete && image.naturalWidth > 0)",
    )
    limit_is(page, 124.5)

    page.locator(".tile .open").first.focus()  # by keyboard alone: the third one is fine
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("g")
    page.wait_for_selector('.tile:nth-child(3) .good[aria-pressed="true"]')
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail[open]")
    expect(page.locator("#detail-name")).to_have_text("odd.png")
    expect(page.locator("#detail-good")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#detail-name")).to_have_text("scratch.png")
    page.keyboard.press("d")
    page.wait_for_selector('#detail-defect[aria-pressed="true"]')
    page.locator("#detail-kind").press_sequentially("scratch d")  # letters, and no marks
    page.keyboard.press("Tab")
    until(page, "document.querySelector('#kinds option')?.value === 'scratch d'")
    page.keyboard.press("Escape")

    page.click("#recalibrate")
    page.wait_for_selector("#proposal[open]")
    row = page.locator("#proposal tr", has_text="defect above").first
    for place, value in enumerate(["124.5", "126.0"], start=1):
        expect(row.locator("td").nth(place)).to_have_text(value)
    page.click("#proposal-cancel")
    limit_is(page, 124.5)  # looking changes nothing
    page.click("#recalibrate")
    page.click("#proposal-use")
    page.wait_for_selector('#versions [data-version="2"] .now')
    limit_is(page, 125.985)  # by a hundred good pictures, of which 1.01 may be above it
    expect(page.locator(".tile.defect")).to_have_count(3)
    assert server.stop() == 0

    server = start()  # a restart loses nothing
    page = look(server.url)
    page.wait_for_selector(".tile")
    limit_is(page, 125.985)
    expect(page.locator(".tile .name")).to_have_count(6)
    expect(page.locator('.marks .good[aria-pressed="true"]')).to_have_count(1)
    page.click("#undo")
    page.wait_for_selector('#versions [data-version="1"] .now')
    limit_is(page, 124.5)
    expect(page.locator(".tile.defect")).to_have_count(3)
    assert server.stop() == 0


def test_the_rate_judges_everything_at_once(
    start: Start, look: Callable[..., Page], tmp_path: Path
) -> None:
    server = start()
    page = look(server.url)
    upload(page, files(tmp_path)[:6], 6)
    expect(page.locator(".tile.ok")).to_have_count(3)
    page.locator("#rate").focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")  # to the end: every second good part
    until(
        page,
        "document.querySelectorAll('.tile.defect').length === 3"
        " && document.querySelector('#rate-value').textContent === '50 %'",
    )
    page.wait_for_selector("#rate-preview:not([hidden])")
    limit_is(page, 112.25)
    page.click("#rate-back")
    page.wait_for_selector("#rate-preview", state="hidden")
    limit_is(page, 124.5)
    page.locator("#rate").focus()
    page.keyboard.press("End")
    page.click("#rate-use")
    page.click("#proposal-use")
    page.wait_for_selector('#versions [data-version="2"] .now')
    limit_is(page, 112.25)
    expect(page.locator("#rate-preview")).to_be_hidden()
    assert server.stop() == 0


def test_heat_regions_and_zoom_at_source_size(
    start: Start, look: Callable[..., Page], tmp_path: Path
) -> None:
    server = start()
    page = look(server.url)
    upload(page, files(tmp_path)[:6], 6)
    heat = page.locator(".tile .heat").first
    heat.wait_for(state="visible")
    page.keyboard.press("h")
    heat.wait_for(state="hidden")
    page.click("#heat")
    heat.wait_for(state="visible")
    page.locator("#opacity").fill("30")
    assert heat.evaluate("(image) => getComputedStyle(image).opacity") == "0.3"

    page.locator(".tile .open").first.click()
    page.wait_for_selector("#detail-boxes span")
    box = page.locator("#detail-boxes span").first.bounding_box()
    canvas = page.locator("#canvas").bounding_box()
    assert box is not None
    assert canvas is not None
    assert (box["x"] - canvas["x"]) / canvas["width"] == pytest.approx(0.75, abs=0.06)
    page.keyboard.press("r")
    expect(page.locator("#detail-boxes")).to_be_hidden()
    page.keyboard.press("1")  # one pixel of the picture is one of the screen
    expect(page.locator("#zoom-value")).to_have_text("100 %")
    canvas = page.locator("#canvas").bounding_box()
    assert canvas
    assert (canvas["width"], canvas["height"]) == (64, 64)
    for _ in range(20):
        page.keyboard.press("+")
    expect(page.locator("#zoom-value")).to_have_text("1600 %")
    page.keyboard.press("0")
    expect(page.locator("#zoom-value")).to_have_text("fit")
    page.keyboard.press("Escape")
    until(page, "document.activeElement.closest('.tile') !== null")
    assert server.stop() == 0


def test_a_token_is_asked_for_once(start: Start, look: Callable[..., Page], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct-horse-battery\n")
    server = start("--token-file", tmp_path / "token")
    page = look(server.url, ready=False)
    page.wait_for_selector("#login[open]")
    page.fill("#token", "something else")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#login-error').textContent !== ''")
    page.fill("#token", "correct-horse-battery")
    page.keyboard.press("Enter")
    page.wait_for_selector("html[data-ready]")
    upload(page, files(tmp_path)[:1], 1)
    page.reload()
    page.wait_for_selector("html[data-ready]")
    expect(page.locator("#login")).to_be_hidden()
    expect(page.locator(".tile")).to_have_count(1)
    page.click("#logout")
    page.wait_for_selector("#login[open]")
    assert server.stop() == 0


def test_a_dropped_folder_is_walked_through(
    start: Start, look: Callable[..., Page], tmp_path: Path
) -> None:
    server = start()
    page = look(server.url)
    folder = tmp_path / "shift"
    (folder / "late").mkdir(parents=True)
    for path in ("1.png", "late/2.png", "notes.txt"):
        (folder / path).write_bytes(png(part(150 + len(path))))
    drop(page, folder)
    expect(page.locator(".tile")).to_have_count(2)
    assert sorted(names(page)) == ["shift/1.png", "shift/late/2.png"]
    expect(page.locator("#progress")).to_be_hidden()
    drop(page, folder / "1.png")  # the same file again is the same picture
    expect(page.locator("#progress-text")).to_have_text("Judged 1 picture, 1 of them here already.")
    expect(page.locator(".tile")).to_have_count(2)
    drop(page, folder / "notes.txt")  # by itself it is taken for what it is
    expect(page.locator(".tile")).to_have_count(3)


#: Gives a file the moment the one before is judged, while the grid is drawn for the last time.
LATER = """() => new MutationObserver((_, observer) => {
  if (document.querySelector("#progress-text").textContent !== "Judged 1 of 1") return;
  observer.disconnect();
  setTimeout(() => {
    const given = new DataTransfer();
    given.items.add(new File(["no picture either"], "later.png"));
    document.querySelector("#files").files = given.files;
    document.querySelector("#files").dispatchEvent(new Event("change"));
  });
}).observe(document.querySelector("#progress-text"), { childList: true })"""


def test_files_given_one_after_the_other_are_all_reported(
    start: Start, look: Callable[..., Page], tmp_path: Path
) -> None:
    server = start()
    page = look(server.url)
    (tmp_path / "notes.png").write_bytes(b"these are notes")
    page.evaluate(LATER)
    page.set_input_files("#files", str(tmp_path / "notes.png"))
    expect(page.locator("#progress-text")).to_have_text("2 files could not be judged.")
    for name in ("notes.png", "later.png"):
        expect(page.locator("#progress-more li", has_text=name)).to_be_visible()
    assert server.stop() == 0


def test_a_name_is_text_and_never_markup(start: Start, look: Callable[..., Page]) -> None:
    server = start()
    name = "<img src=x onerror=document.title='owned'>.png"
    server.client.post("/v1/predict", content=png(part(150)), params={"keep": "true", "name": name})
    page = look(server.url)
    page.wait_for_selector(".tile")
    expect(page.locator(".tile .name")).to_have_text([name])
    page.locator(".tile .open").click()
    page.wait_for_selector("#detail[open]")
    expect(page.locator("#detail-name")).to_have_text(name)
    expect(page).to_have_title("spots.blemish · blemish")
    assert server.stop() == 0


@pytest.mark.slow  # real pictures and a real model: the tests above see the same page with spots
def test_bottles_the_broken_ones_come_first(
    start: Start, look: Callable[..., Page], tmp_path: Path, shared_data: Path
) -> None:
    from blemish import Detector
    from blemish._progress import Progress
    from blemish.data.images.image_list import list_images
    from blemish.data.sample import DataSet, Sample

    bottle = shared_data / "mvtec" / "bottle"
    good = [Sample(p, "bottle", "train", 0) for p in list_images(bottle / "train" / "good")[:40]]
    detector = Detector("rd", image_size=64, settings={"steps": 30, "batch_size": 8})
    data = DataSet("folder", bottle, tuple(good))
    detector.fit(data, false_alarm_rate=0.1, hold_out_share=0.4, progress=Progress(quiet=True))
    detector.save(tmp_path / "bottle.blemish")
    broken = list_images(bottle / "test" / "broken_large")[:6]
    fine = list_images(bottle / "test" / "good")[:6]
    renamed = {}
    for kind, paths in (("broken", broken), ("fine", fine)):
        for path in paths:
            target = tmp_path / f"{kind} {path.name}"
            target.write_bytes(path.read_bytes())
            renamed[target.name] = kind

    server = start(model=tmp_path / "bottle.blemish")
    page = look(server.url)
    upload(page, [str(tmp_path / name) for name in sorted(renamed)], 12)
    order = [renamed[name] for name in names(page)]
    assert order == ["broken"] * 6 + ["fine"] * 6
    before = limit(page)
    scores = page.locator(".tile .score").all_text_contents()
    for number in range(7, 13):  # the fine ones, and limits from them alone
        page.locator(f".tile:nth-child({number}) .open").focus()
        page.keyboard.press("g")
        page.wait_for_selector(f'.tile:nth-child({number}) .good[aria-pressed="true"]')
    page.locator('[name="how"][value="replace"]').check()
    page.click("#recalibrate")
    page.click("#proposal-use")
    page.wait_for_selector('#versions [data-version="2"] .now')
    until(
        page, f"Number(document.querySelector('#histogram text.defect').dataset.limit) !== {before}"
    )
    after = limit(page)
    assert after == pytest.approx(float(scores[6]), rel=1e-3)  # the oddest of the fine ones
    assert server.stop() == 0
    server = start(model=tmp_path / "bottle.blemish")
    page = look(server.url)
    page.wait_for_selector(".tile")
    limit_is(page, after)
    assert server.stop() == 0


def test_the_product_is_corrected_and_the_picture_judged_again(
    start: Start, look: Callable[..., Page], tmp_path: Path
) -> None:
    for name, image in (
        ("bolt.png", part(150, ground=100)),
        ("either.png", part(150, ground=85)),
        ("nut.png", part(99)),
    ):
        (tmp_path / name).write_bytes(png(image))
    server = start(SPOT_PRODUCTS="2")
    page = look(server.url)
    page.select_option("#product", "")  # from the picture
    upload(page, [str(tmp_path / n) for n in ("bolt.png", "either.png", "nut.png")], 3)
    expect(page.locator(".tile .name")).to_have_text(["either.png", "bolt.png", "nut.png"])
    expect(page.locator(".tile.defect")).to_have_count(1)
    page.locator(".tile .open").first.click()
    note = page.locator("#detail-product-note")
    expect(note).to_contain_text("may show nut as well")
    expect(page.locator("#detail-product option").first).to_have_text("from the picture: bolt")
    expect(page.locator("#detail-meaning")).to_contain_text("at 3.08 × limit")
    page.select_option("#detail-product", "bolt")
    page.wait_for_selector("#detail-verdict.ok")
    expect(note).to_be_hidden()
    page.click("#detail-next")
    expect(page.locator("#detail-name")).to_have_text("bolt.png")
    page.select_option("#detail-product", "nut")
    page.wait_for_selector("#detail-verdict.defect")
    expect(note).to_contain_text("looks like bolt")
    page.locator("#detail-product").focus()
    page.keyboard.press("d")  # a letter for the list is no mark
    expect(page.locator("#detail-defect")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Escape")
    until(page, "document.querySelectorAll('.tile').length === 3")  # one entry each
    expect(page.locator(".tile.defect .name")).to_have_text(["bolt.png"])
    page.reload()
    page.wait_for_selector(".tile.defect")
    expect(page.locator(".tile.defect .name")).to_have_text(["bolt.png"])
    assert server.stop() == 0


def test_who_sets_the_limit_is_seen_and_left_out_by_a_click(
    start: Start, look: Callable[..., Page], tmp_path: Path
) -> None:
    server = start(SPOT_NAMED="1")
    page = look(server.url)
    page.wait_for_selector("#setters li")
    limit_is(page, 149.745)
    (row,) = page.locator("#setters li").all()
    expect(row).to_contain_text("scratch.png")
    expect(row).to_contain_text("3.1 times as far above the median good score as the next")
    expect(row.locator("img")).to_have_count(0)
    file = tmp_path / "again.png"
    file.write_bytes(png(part(150)))
    upload(page, [str(file)], 1)  # once it is judged here, it can be shown
    until(page, "document.querySelector('#setters img')?.naturalWidth > 0")
    page.click("#setters li button")
    page.wait_for_selector("#proposal[open]")
    expect(page.locator("#proposal-title")).to_have_text("New limits without scratch.png")
    cells = page.locator("#proposal tr", has_text="defect above").first.locator("td")
    for place, value in enumerate(["149.7", "124.5"], start=1):
        expect(cells.nth(place)).to_have_text(value)
    page.click("#proposal-use")
    page.wait_for_selector('#versions [data-version="2"] .now')
    limit_is(page, 124.5)
    expect(page.locator("#setters")).not_to_contain_text("scratch.png")
    expect(page.locator("#setters-card")).to_contain_text("No good picture stands far")
    page.click("#undo")
    page.wait_for_selector('#versions [data-version="1"] .now')
    expect(page.locator("#setters")).to_contain_text("scratch.png")
    assert server.stop() == 0
