"""The studio's whole road in a browser at full size, with the server killed twice on the way.

    python benchmarks/check_studio_road.py DATA/mvtec/bottle

The folder is a product in MVTec's layout. Sixty of its good training pictures are dropped on an
empty project, and twenty test pictures in one folder, half of them good, which are sorted by hand:
in one walk before the training, so that their good ones are learned, in a second one after it, so
that they say what false alarms there are. Two models are trained, the instant and the standard one;
``blemish studio`` is killed with signal 9 in the middle of the second training and again while the
twenty are inspected, and started anew. Then one good picture is left out of the limits, they are
recalibrated by marks, that is undone, and both models are compared. Everything is done in headless
Chromium, by what people click; what must not be lost is counted. Goes to
``benchmarks/results/studio-road.json``, with the seconds of every step. ``--shots DIR`` keeps
pictures of every page, as wide as a desk's screen and as a telephone, and says which page scrolls
sideways or has a serious fault of accessibility, where ``BLEMISH_AXE`` names ``axe.min.js`` of
npm's axe-core.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from playwright.sync_api import ViewportSize, expect, sync_playwright

from blemish.benchmark.result_file import write_result
from blemish.data.images.image_list import list_images

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = os.environ.get("BLEMISH_AXE", "")
RESULT = Path(__file__).parent / "results" / "studio-road.json"
GOOD, MIXED = 60, 20
PATIENCE = 15 * 60_000  # milliseconds for the longest step


class Studio:
    """The server, at one port whatever becomes of it."""

    def __init__(self, project: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.project = project
        self.client = httpx.Client(base_url=self.url, timeout=60)
        self.start()

    def start(self) -> float:
        """Seconds until it answers."""
        started = time.monotonic()
        words = [sys.executable, "-m", "blemish.cli.app", "studio", str(self.project)]
        with self.project.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                [*words, "--port", str(self.port)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        if "is served" not in self.process.stdout.readline():
            raise SystemExit(self.project.with_suffix(".log").read_text())
        return round(time.monotonic() - started, 2)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Road:
    """One walk, and what it took."""

    def __init__(self, page: Page, studio: Studio, shots: Path | None) -> None:
        self.page, self.studio, self.shots = page, studio, shots
        self.seconds: dict[str, float] = {}
        self.faults: list[str] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)
        print(f"{self.seconds[name]:7.1f} s  {name}", flush=True)

    def look(self, name: str) -> None:
        """Pictures of the page as it is, and what is wrong with it."""
        if self.shots is None:
            return
        for width in (390, 1280):
            self.page.set_viewport_size({"width": width, "height": 900})
            self.page.wait_for_timeout(500)
            self.page.screenshot(path=self.shots / f"{name}-{width}.png", full_page=True)
            wide, window = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            self.faults += [f"{name}, {width}: scrolls sideways"] if wide > window else []
            if AXE:
                self.page.evaluate(Path(AXE).read_text())
                found = self.page.evaluate("axe.run()")["violations"]
                serious = [f for f in found if f["impact"] in ("serious", "critical")]
                self.faults += [f"{name}, {width}: {f['id']}, {f['help']}" for f in serious]

    def look_around(self) -> None:
        """Every page that the road has not shown."""
        for name in ("pictures", "train", "models", "line", "log"):
            self.open(f"#{name}")
            self.look(name)
        for name in ("", "live", "trend"):
            self.open(f"inspect/bottle-standard/{name}")
            self.look(f"inspect-{name or 'all'}")
        self.open("#pictures")
        self.page.locator(".thumb.good").first.click()
        self.page.click("#teach")
        self.look("teach")

    def drop(self, folder: Path) -> None:
        devtools = self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            event = {"type": kind, "x": 300, "y": 300, "data": data}
            devtools.send("Input.dispatchDragEvent", event)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.studio.url}/{path}")
        self.page.wait_for_selector("html[data-ready]")

    def order_training(self, recipe: str) -> None:
        self.page.click(".studio-nav a:text-is('Train')")
        self.page.check(f"#recipe-{recipe}")
        expect(self.page.locator("#train-name")).to_have_value(re.compile(f"{recipe}$"))
        self.page.click("#train-form .main")
        expect(self.page.locator(".job.running, .job.waiting")).to_have_count(1)

    def end_of_training(self) -> None:
        expect(self.page.locator(".job.running, .job.waiting")).to_have_count(0)
        expect(self.page.locator(".job").first).to_have_class(re.compile("done"))

    def fill(self, good: Path, mixed: Path) -> None:
        page = self.page
        with self.step("60 good pictures dropped"):
            page.fill("#new-product", "bottle")
            page.select_option("#new-role", "good")
            self.drop(good)
            expect(page.locator("#progress-text")).to_have_text(f"Found {GOOD} good.")
        with self.step("20 mixed pictures dropped"):
            page.select_option("#new-role", "unsorted")
            self.drop(mixed)
            expect(page.locator("#progress-text")).to_have_text(f"Found {MIXED} to be sorted.")

    def sort(self, mixed: Path) -> None:
        page = self.page
        with self.step("the 20 marked one by one"):
            page.click("#roles button:has-text('to be sorted')")
            for kind, button in (("defect", ".mark-defect"), ("good", ".mark-good")):
                for path in sorted(mixed.glob(f"{kind}-*")):
                    page.click(f".thumb[data-path$='{path.name}']")
                page.click(f"#chosen {button}")
                expect(page.locator("#chosen")).to_be_hidden()
            expect(page.locator(".thumb")).to_have_count(0)
            page.click("#roles button:has-text('all')")

    def train(self) -> dict[str, Any]:
        with self.step("trained: instant"):
            self.order_training("instant")
            self.end_of_training()
        with self.step("trained: standard, the server killed on the way"):
            self.order_training("standard")
            jobs = self.studio.client.get("/v1/studio/jobs").json()
            key = next(job["id"] for job in jobs if job["state"] in ("running", "waiting"))
            expect(self.page.locator(".job.running progress[value]")).to_have_count(1)
            process = self.studio.project / f"jobs/{key}/process.json"
            before = json.loads(process.read_text())["pid"]
            self.studio.kill()
            time.sleep(2)
            again = self.studio.start()
            state = self.studio.client.get(f"/v1/studio/jobs/{key}").json()["state"]
            self.end_of_training()
        return {
            "server_answers_again_after": again,
            "training_found_again": state,
            "same_process": json.loads(process.read_text())["pid"] == before,
        }

    def inspect(self, mixed: Path) -> dict[str, Any]:
        page = self.page
        with self.step("20 pictures inspected, the server killed on the way"):
            self.open("inspect/bottle-standard/")
            self.drop(mixed)
            page.wait_for_selector(".tile")
            seen = page.locator(".tile").count()
            self.studio.kill()
            time.sleep(2)
            again = self.studio.start()
            expect(page.locator(".tile")).to_have_count(MIXED)
            expect(page.locator("#progress")).to_be_hidden()
        counts = {
            verdict: page.locator(f".tile.{verdict}").count()
            for verdict in ("defect", "unsure", "ok")
        }
        return {"shown_before_the_kill": seen, "server_answers_again_after": again, **counts}

    def limits(self, mixed: Path) -> list[dict[str, Any]]:
        page = self.page
        versions = page.locator("#versions li")
        page.click("#limits-button-wide")
        self.look("limits")
        with self.step("one good picture left out of the limits"):
            page.click("#setters button:text-is('Leave out…')")
            page.click("#proposal-use")
            expect(versions).to_have_count(2)
        with self.step("recalibrated by marks"):
            page.click("#limits-button-wide")
            for path in sorted(mixed.iterdir()):
                mark = "good" if path.name.startswith("good") else "bad"
                page.click(f".tile:has(.name:has-text('{path.name}')) .{mark}")
            expect(page.locator(".tile [aria-pressed='true']")).to_have_count(MIXED)
            page.click("#limits-button-wide")
            page.click("#recalibrate")
            page.click("#proposal-use")
            expect(versions).to_have_count(3)
        with self.step("undone"):
            page.click("#undo")
            expect(page.locator("#versions li[data-version='2'] .now")).to_have_count(1)
        found = self.studio.client.get("/inspect/bottle-standard/v1/calibrations").json()
        return [{key: one[key] for key in ("version", "note", "n", "active")} for one in found]

    def compare(self) -> list[list[str]]:
        with self.step("compared, both models on all 80 pictures"):
            self.open("#compare")
            self.page.click("#compare-judge")
            self.page.wait_for_selector("#compare-result table")
        self.look("compare")
        rows = self.page.locator("#compare-result tr")
        return [row.locator("th, td").all_text_contents() for row in rows.all()]

    def kept(self) -> dict[str, Any]:
        ask = self.studio.client
        pictures = ask.get("/v1/studio/pictures").json()["pictures"]
        history = ask.get("/inspect/bottle-standard/v1/history").json()["pictures"]
        return {
            "pictures": len(pictures),
            "good": sum(path.split("/")[1] == "good" for path, *_ in pictures),
            "models": sorted(model["name"] for model in ask.get("/v1/studio/models").json()),
            "inspected": len(history),
            "marks": sum(bool(picture["mark"]) for picture in history),
            "log_entries": len(ask.get("/v1/studio/audit").json()),
        }


def some(folder: Path, count: int) -> list[Path]:
    """So many of a folder, from all over it."""
    paths = list_images(folder)
    return [paths[k * len(paths) // count] for k in range(count)]


def walk(
    good: Path, mixed: Path, project: Path, *, sort_first: bool, shots: Path | None = None
) -> dict[str, Any]:
    """From the empty project to the comparison; the twenty are sorted before training or after."""
    studio = Studio(project)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--disable-dev-shm-usage"],
            )
            size = ViewportSize(width=1280, height=900)
            page = browser.new_page(viewport=size, bypass_csp=shots is not None and bool(AXE))
            page.set_default_timeout(PATIENCE)
            road = Road(page, studio, shots)
            road.open("")
            road.look("empty")
            road.fill(good, mixed)
            if sort_first:
                road.sort(mixed)
            training = road.train()
            inspection = road.inspect(mixed)
            versions = road.limits(mixed)
            if not sort_first:
                road.open("#pictures")
                road.sort(mixed)
            table = road.compare()
            kept = road.kept()
            if shots is not None:
                road.look_around()
                print("\n".join(road.faults) or "No page scrolls sideways or has a serious fault.")
            browser.close()
    finally:
        studio.process.terminate()
        studio.process.wait()
    lost = (
        kept["pictures"] != GOOD + MIXED
        or kept["good"] != GOOD + MIXED // 2
        or (kept["inspected"], kept["marks"]) != (MIXED, MIXED)
        or len(kept["models"]) != 2
        or not training["same_process"]
    )
    return {
        "seconds": road.seconds,
        "training": training,
        "inspection": inspection,
        "calibrations": versions,
        "compared": table,
        "kept": kept,
        "anything_lost": lost,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("product", type=Path)
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--shots", type=Path, help="folder for pictures of every page")
    given = parser.parse_args()
    expect.set_options(timeout=PATIENCE)
    load = os.getloadavg()[0]
    if given.shots is not None:
        given.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        good, mixed = base / "monday", base / "tuesday"
        for folder in (good, mixed):
            folder.mkdir()
        for path in some(given.product / "train/good", GOOD):
            shutil.copy(path, good)
        test = given.product / "test"
        kinds = [kind for kind in sorted(test.iterdir()) if kind.name != "good"]
        defects = [path for kind in kinds for path in some(kind, MIXED // 2 // len(kinds) + 1)]
        for path in some(test / "good", MIXED // 2):
            shutil.copy(path, mixed / f"good-{path.name}")
        for path in defects[: MIXED // 2]:
            shutil.copy(path, mixed / f"defect-{path.parent.name}-{path.name}")
        walks = {
            "sorted_before_training": walk(
                good, mixed, base / "road", sort_first=True, shots=given.shots
            ),
            "sorted_after_training": walk(good, mixed, base / "again", sort_first=False),
        }
    content = {
        "command": f"python benchmarks/check_studio_road.py {given.product.name}",
        "load_average": [round(load, 1), round(os.getloadavg()[0], 1)],
        **walks,
    }
    write_result(given.result, content)
    print(json.dumps(content, indent=1))
    if any(one["anything_lost"] for one in walks.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
