"""An hour's soak: a camera, two open pages and four targets at once, and nothing may grow.

    python benchmarks/check_soak.py MODEL DATA/mvtec/bottle --minutes 80

MODEL is an exported model file. Nine good pictures of the product and one defect, in turn, are a
camera of ten frames a second: an MPEG transport stream over UDP on the loopback, encoded by a
process of its own. ``blemish serve --source`` judges every third of them and keeps 20 pictures
at most. Each verdict goes to an HTTP receiver, through a real MQTT broker (mosquitto), into a
folder and into a CSV file. The live page and the page of pictures are open in headless Chromium,
and the live page once more in one that nobody drives: a driven one keeps a record of all that its
pages fetch, and grows by that.

Every half minute: the server's memory, threads and open files, what the pages hold after the
browser's own collection of garbage, and the memory of what draws the page that nobody drives.
Slopes are those of a straight line through all looks after the first quarter of the time, in which
a browser fills its caches: 80 minutes measure an hour. Goes to ``benchmarks/results/soak.json``;
exit code 1 where a slope is above ``MOST``, a verdict is lost or out of order, or anything said an
error: the server's log, a page's console, a request of a page, a target.
"""

from __future__ import annotations

import argparse
import csv
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
from check_live import encode, frames_of, memory_mib
from playwright.sync_api import sync_playwright

from blemish.benchmark.result_file import write_result
from blemish.data.images.image_list import list_images

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RESULT = Path(__file__).parent / "results" / "soak.json"
CAMERA, KEPT = 10, 20  # frames a second; pictures kept at most: frames that repeat are one
TRIGGER = "every:0.28"  # every third frame, whatever the clocks say
LOOK = 30.0  # seconds
#: Growth an hour at most, in MiB: of the server, of what each page holds, of what draws a page; and
#: in single things.
MOST = {"server_mib": 10.0, "page_mib": 5.0, "drawing_mib": 30.0}
MOST |= {"files": 2.0, "threads": 2.0, "nodes": 500.0}
Verdict = tuple[str, str]  # when its picture was taken, and its id; an alarm has no picture


def verdict_of(message: dict[str, Any]) -> Verdict:
    return message["taken"] or "", message["id"]


class Receiver(http.server.ThreadingHTTPServer):
    """Takes verdicts by HTTP."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard: list[Verdict] = []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(self.server, Receiver)
        self.server.heard.append(verdict_of(message))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def broker(folder: Path) -> Iterator[tuple[str, list[Verdict], list[str]]]:
    """A running mosquitto with a listener: its address, what was heard, and the states told."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        raise SystemExit("The MQTT broker mosquitto is needed, a package of the system.")
    port, heard, states = free_port(socket.SOCK_STREAM), list[Verdict](), list[str]()
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([program, "-c", settings], stderr=subprocess.DEVNULL)
    wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 10)

    def on_message(client: object, data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.endswith("/status"):
            states.append(message.payload.decode())
        else:
            heard.append(verdict_of(json.loads(message.payload)))

    listener = mqtt.Client(CallbackAPIVersion.VERSION2)
    listener.on_message = on_message
    listener.on_connect = lambda client, *_: client.subscribe([("soak/#", 1)])
    listener.connect("127.0.0.1", port)
    listener.loop_start()
    try:
        yield f"mqtt://127.0.0.1:{port}/soak/line", heard, states
    finally:
        listener.loop_stop()
        process.terminate()
        process.wait()


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.2)
    return done()


class Watched:
    """An open page, and all that it says is wrong."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.errors: list[str] = []
        self.page.on("console", lambda m: self._say(m.type in ("error", "warning"), m.text))
        self.page.on("pageerror", lambda error: self._say(True, str(error)))
        self.page.on("response", lambda r: self._say(r.status >= 400, f"{r.status} {r.url}"))
        self.page.on("crash", lambda _: self._say(True, "the page has crashed"))
        self.page.goto(url)
        self.page.wait_for_selector("html[data-ready]")
        self._devtools = self.page.context.new_cdp_session(self.page)
        self._devtools.send("Performance.enable")

    def _say(self, wrong: bool, text: str) -> None:
        if wrong:
            self.errors.append(text[:300])

    def holds(self) -> tuple[float, float]:
        """MiB of its heap, and nodes, once what is not used any more is gone."""
        self._devtools.send("HeapProfiler.collectGarbage")
        found = self._devtools.send("Performance.getMetrics")["metrics"]
        values = {metric["name"]: metric["value"] for metric in found}
        return values["JSHeapUsedSize"] / 2**20, values["Nodes"]


@contextmanager
def undriven(url: str, profile: Path) -> Iterator[int]:
    """A page in a browser that nobody drives: the number of its process."""
    words = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage"]
    words += [f"--user-data-dir={profile}", url]
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("chromium is needed on PATH.")
    process = subprocess.Popen([program, *words], stderr=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def drawing_mib(browser: int) -> float:
    """Memory of the processes of a browser that draw pages, pictures included."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has just ended
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    waiting, found = [browser], 0.0
    while waiting:
        waiting += children.get(pid := waiting.pop(), [])
        with suppress(OSError):
            if b"--type=renderer" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found += memory_mib(pid)
    return found


def size_mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def look(server: int, pages: dict[str, Watched], alone: int, here: Path) -> dict[str, float]:
    at = {f"{name}_page": watched.holds() for name, watched in pages.items()}
    return {
        "server_mib": memory_mib(server),
        "server_files": len(list(Path(f"/proc/{server}/fd").iterdir())),
        "server_threads": len(list(Path(f"/proc/{server}/task").iterdir())),
        **{f"{name}_mib": mib for name, (mib, _) in at.items()},
        **{f"{name}_nodes": nodes for name, (_, nodes) in at.items()},
        "drawing_mib": drawing_mib(alone),
        "history_disk_mib": size_mib(here / "state"),
        "spool_disk_mib": size_mib(here / "spool"),
    }


def grown(looks: list[dict[str, float]], minutes: list[float]) -> dict[str, dict[str, float]]:
    """First and last of each figure after the first quarter, and its slope an hour."""
    late = [at for at, minute in enumerate(minutes) if minute >= minutes[-1] / 4]
    hours = np.array([minutes[at] for at in late]) / 60
    found = {}
    for name in looks[0]:
        values = np.array([looks[at][name] for at in late], float)
        slope = float(np.polyfit(hours, values, 1)[0])
        figures = {"first": values[0], "last": values[-1], "most": values.max(), "an_hour": slope}
        found[name] = {word: round(float(value), 2) for word, value in figures.items()}
    return found


def too_much(growth: dict[str, dict[str, float]]) -> list[str]:
    """What grew more than it may."""
    found = []
    for name, figures in growth.items():
        kind = next((kind for kind in MOST if name.endswith(kind)), "")
        if kind and figures["an_hour"] > MOST[kind]:
            found.append(f"{name} grows by {figures['an_hour']} an hour, more than {MOST[kind]}")
    return found


def start(words: list[str], log: Path) -> tuple[subprocess.Popen[str], str]:
    with log.open("wb") as errors:
        server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert server.stdout is not None
    found = re.search(r"http://\S+", server.stdout.readline())
    if not found:
        raise SystemExit(log.read_text())
    return server, found[0]


def complaints(log: str) -> list[str]:
    """Lines of the server's log in which anything is wrong, or a person is told something."""
    wrong = re.compile(r"WARNING|ERROR|CRITICAL|Traceback|^Note:|\" 5\d\d", re.MULTILINE)
    return [line for line in log.splitlines() if wrong.search(line)]


def in_files(here: Path) -> dict[str, list[Verdict]]:
    files = sorted((here / "folder").rglob("*.json"))
    with (here / "verdicts.csv").open(newline="", encoding="utf-8") as rows:
        lines = [verdict_of(row) for row in csv.DictReader(rows)]
    return {"folder": [verdict_of(json.loads(file.read_text())) for file in files], "csv": lines}


def counted(messages: list[Verdict]) -> dict[str, int]:
    """What has arrived at one target; alarms are told as well, where the line has changed."""
    verdicts = [message for message in messages if message[0]]
    return {
        "verdicts": len({identity for _, identity in verdicts}),
        "doubled": len(verdicts) - len(set(verdicts)),
        "alarms": len(messages) - len(verdicts),
        "in_order": int(verdicts == sorted(verdicts, key=lambda verdict: verdict[0])),
    }


def soak(model: Path, sender: list[str], minutes: float, stream: str) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as temporary,
        broker(here := Path(temporary)) as (address, by_mqtt, states),
    ):
        receiver, log = Receiver(), here / "log"
        words = [sys.executable, "-m", "blemish.cli.app", "serve", str(model), "--port", "0"]
        words += ["--source", f"{stream}#analyzeduration=500000", "--trigger", TRIGGER]
        words += ["--keep", str(KEPT), "--keep-live", "not-ok,1/50", "--state", f"{here}/state"]
        targets = (f"http://127.0.0.1:{receiver.server_port}/", address)
        for target in (*targets, f"folder:{here}/folder", f"csv:{here}/verdicts.csv"):
            words += ["--send", target]
        sending = subprocess.Popen(sender)
        server, url = start([*words, "--spool", f"{here}/spool"], log)
        with sync_playwright() as playwright, undriven(f"{url}/live", here / "profile") as alone:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--disable-dev-shm-usage"],
            )
            pages = {
                "live": Watched(browser, f"{url}/live"),
                "pictures": Watched(browser, f"{url}/"),
            }
            begun, looks, at = time.monotonic(), list[dict[str, float]](), list[float]()
            while not at or at[-1] < minutes:
                due = begun + LOOK * (len(at) + 1)
                pages["live"].page.wait_for_timeout(1000 * max(0.0, due - time.monotonic()))
                looks.append(look(server.pid, pages, alone, here))
                at.append(round((time.monotonic() - begun) / 60, 2))
                if len(at) % 10 == 1:
                    print(at[-1], looks[-1], flush=True)
            said = complaints(log.read_text())  # what comes now comes of ending it
            shown = pages["live"].page.inner_text("#numbers dl").split("\n")
            sending.terminate()
            sending.wait()
            state = quiet(url)
            judged = state["judged"]
            wait_until(lambda: min(len(receiver.heard), len(by_mqtt)) >= judged, 60)
            time.sleep(2)  # what is written into files has arrived by then, too
            errors = {name: watched.errors for name, watched in pages.items()}
            browser.close()
        server.send_signal(signal.SIGTERM)
        ended = server.wait(60)
        wait_until(lambda: "offline" in states, 10)
        heard = {"webhook": receiver.heard, "mqtt": by_mqtt, **in_files(here)}
        growth = grown(looks, at)
    arrived = {name: counted(verdicts) for name, verdicts in heard.items()}
    wrong = too_much(growth) + [f"the server's log: {line}" for line in said]
    wrong += [f"the {name} page: {line}" for name, lines in errors.items() for line in lines]
    for name, figures in arrived.items():
        if (figures["verdicts"], figures["in_order"]) != (judged, 1):
            wrong.append(f"{name}: {figures} of {judged} verdicts")
    wrong += [] if ended == 0 else [f"the server ended with {ended}"]
    wrong += [] if states == ["online", "offline"] else [f"the broker was told {states}"]
    return {
        "minutes": at[-1],
        "frames": state["seen"],
        "wanted": state["wanted"],
        "dropped": state["dropped"],
        "judged": judged,
        "counts": state["counts"],
        "arrived": arrived,
        "shown_at_the_end": shown,
        "growth_may_be": MOST,
        "growth": growth,
        "load_average": round(float(os.getloadavg()[2]), 1),
        "server_mib": [round(one["server_mib"], 1) for one in looks],
        "wrong": wrong[:50],
    }


def quiet(url: str) -> dict[str, Any]:
    """The state of live inspection, once the last picture is judged."""
    before, state = -1, dict[str, Any]()
    while before != state.get("judged"):
        before = state.get("judged", 0)
        time.sleep(15)  # on a busy machine one may still be in the network
        state = httpx.get(f"{url}/v1/live", timeout=60).json()
    return state


def mixed(product: Path) -> list[Path]:
    """Nine good pictures and a defect, five times over, from all over the product."""
    good, kinds = list_images(product / "train/good"), sorted((product / "test").iterdir())
    odd = [list_images(kind)[0] for kind in kinds if kind.name != "good"]
    step = len(good) // 45
    parts = [[*(good[step * (9 * k + n)] for n in range(9)), odd[k % len(odd)]] for k in range(5)]
    return [path for part in parts for path in part]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("product", type=Path)
    parser.add_argument("--minutes", type=float, default=80.0)
    parser.add_argument("--send-to", help=argparse.SUPPRESS)  # the camera's process
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args()
    if given.send_to:
        frames, count = frames_of(mixed(given.product)), round(CAMERA * 60 * (given.minutes + 30))
        encode(given.send_to, frames, count, paced=True, format="mpegts", rate=CAMERA)
        return
    stream = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    sender = [sys.executable, __file__, str(given.model), str(given.product), "--send-to"]
    sender += [f"{stream}?pkt_size=1316", "--minutes", str(given.minutes)]
    found = soak(given.model, sender, given.minutes, stream)
    words = f"python benchmarks/check_soak.py MODEL {given.product.name}"
    content = {
        "command": f"{words} --minutes {given.minutes:g}",
        "camera_frames_a_second": CAMERA,
        "trigger": TRIGGER,
        "pictures_kept": KEPT,
        **found,
    }
    print(json.dumps(content, indent=1), flush=True)
    write_result(given.result, content)
    if found["wrong"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
