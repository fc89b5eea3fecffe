"""Servers, studios and benchmarks killed at random moments: what was answered or written is there.

Whatever a server has answered with a picture's number, and each mark it has confirmed, it knows
after a start on the same state; a studio each picture that it took. A benchmark's rows are whole,
and the same command measures what is missing and nothing twice.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from campaign import folder_of_parts, run

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "serving"), str(HERE.parent / "studio"), str(HERE.parent)]

from running_server import RunningServer  # noqa: E402
from spot_model import part, png  # noqa: E402
from studio_steps import give, picture  # noqa: E402

from forked import ForkServer  # noqa: E402

Start = Callable[[], RunningServer]
#: What a server or studio has confirmed, by number or path.
Confirmed = dict[Any, Any]


def killed_servers(forks: ForkServer, count: int, seed: int = 0) -> dict[str, Any]:
    """Kill ``serve`` while pictures are kept and marked."""

    def work(client: httpx.Client, confirmed: Confirmed, stop: threading.Event) -> None:
        while not stop.is_set():
            pixels = part(100)
            pixels[0, :3, 0] = [len(confirmed) // 90**k % 90 for k in range(3)]  # each its own
            sent = {"params": {"keep": "true"}, "content": png(pixels)}
            [found] = client.post("/v1/predict", **sent).json()["results"]
            confirmed[found["id"]] = None
            marked = client.put(f"/v1/pictures/{found['id']}/mark", json={"mark": "good"})
            marked.raise_for_status()
            confirmed[found["id"]] = "good"

    def look(client: httpx.Client, confirmed: Confirmed) -> list[str]:
        known = {p["id"]: p["mark"] for p in client.get("/v1/history").json()["pictures"]}
        lost = [key for key in confirmed if key not in known]
        unmarked = [key for key, mark in confirmed.items() if mark and known.get(key) != mark]
        return [f"lost {lost}"] * bool(lost) + [f"without its mark {unmarked}"] * bool(unmarked)

    with tempfile.TemporaryDirectory() as place:
        log = Path(place, "log")
        words = ("serve", f"{place}/spots.blemish", "--port", "0", "--state", f"{place}/state")

        def start() -> RunningServer:
            return RunningServer(
                forks.start(*words, cwd=Path(place), program="spot_model", log=log), log
            )

        return _killed(start, work, look, count, seed)


def killed_studios(forks: ForkServer, count: int, seed: int = 0) -> dict[str, Any]:
    """Kill ``studio`` while pictures are given to it."""

    def work(client: httpx.Client, confirmed: Confirmed, stop: threading.Event) -> None:
        while not stop.is_set():
            number = len(confirmed)
            content = picture(number)
            taken = give(client, f"nut/good/{time.monotonic_ns()}.png", content).json()
            confirmed[taken["path"]] = content

    def look(client: httpx.Client, confirmed: Confirmed) -> list[str]:
        wrong = []
        for path, content in confirmed.items():
            file = Path(place, "line", "pictures", path)
            if not file.is_file() or file.read_bytes() != content:
                wrong.append(f"{path}: gone or changed")
        listed = client.get("/v1/studio/pictures")
        return [*wrong, *([] if listed.status_code == 200 else [listed.text[:200]])]

    with tempfile.TemporaryDirectory() as place:
        log = Path(place, "log")
        words = ("studio", f"{place}/line", "--port", "0")

        def start() -> RunningServer:
            return RunningServer(forks.start(*words, cwd=Path(place), log=log), log)

        return _killed(start, work, look, count, seed)


def _killed(
    start: Start,
    work: Callable[[httpx.Client, Confirmed, threading.Event], None],
    look: Callable[[httpx.Client, Confirmed], list[str]],
    count: int,
    seed: int,
) -> dict[str, Any]:
    rng, wrong = random.Random(seed), list[str]()
    confirmed: Confirmed = {}
    server = start()
    for number in range(count):
        stop, url = threading.Event(), server.url

        def until_killed(stop: threading.Event = stop, url: str = url) -> None:
            with (
                contextlib.suppress(httpx.HTTPError),
                httpx.Client(base_url=url, timeout=60) as client,
            ):
                work(client, confirmed, stop)

        worker, before = threading.Thread(target=until_killed), len(confirmed)
        worker.start()
        while len(confirmed) == before and worker.is_alive():
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.2))
        server.kill()
        stop.set()
        worker.join()
        wrong += [] if len(confirmed) > before else [f"{number}: nothing was confirmed"]
        server = start()
        wrong += [f"after kill {number}: {what}" for what in look(server.client, confirmed)]
    code = server.stop()
    wrong += [f"ended with {code}"] if code else []
    return {"kills": count, "confirmed": len(confirmed), "wrong": wrong}


def killed_benchmarks(count: int, seed: int = 0) -> dict[str, Any]:
    """Kill ``benchmark`` of two runs, and run it to its end after each kill."""
    rng, wrong, kills, tries = random.Random(seed), list[str](), 0, 0
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        folder_of_parts(here / "line/nut/train/good", range(8))
        folder_of_parts(here / "line/nut/test/good", range(20, 22))
        folder_of_parts(here / "line/nut/test/odd", range(30, 32))
        words = ["benchmark", "--data", str(here / "line"), "--out", str(here / "r")]
        words += ["--size", "64", "--device", "cpu", "--teacher-weights", "random"]
        words += ["--method", "patchcore", "--seeds", "0,1", "--quiet"]
        rows, lasts = here / "r" / "rows.jsonl", 0.0
        while kills < count and tries <= 4 * count:
            if rows.exists():
                rows.unlink()
            if tries:  # one that ends before its moment is no kill
                kills += run(words, rng.uniform(0.0, lasts)) == -9
            whole = not rows.exists()
            said, started = here / "said", time.monotonic()
            code = run(words, None, said)
            if whole:  # of the machine as it is now, busy or not
                lasts = time.monotonic() - started
            lines = rows.read_text().splitlines() if rows.exists() else []
            try:
                seeds = sorted(json.loads(line)["seed"] for line in lines)
            except ValueError:
                seeds = []
            if code != 0 or seeds != [0, 1]:
                wrong.append(f"{tries}: ends with {code}, rows {seeds}: {said.read_text()[-300:]}")
            tries += 1
    return {"kills": kills, "wrong": wrong}
