"""Soaks: the server, and `predict --watch`, for as long as asked under a steady stream of pictures.

    python tests/faults/soak.py 600

Memory and open files must stay where they were after the first fifth, every picture must have its
verdict once, and both must end as they do when told to.
"""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

SERVING = Path(__file__).parents[1] / "serving"
sys.path[:0] = [str(SERVING), str(Path(__file__).parent)]

from running_server import RunningServer, spots  # noqa: E402
from spot_model import part, png  # noqa: E402

MORE_MIB, MORE_FILES = 60, 5


class Footprint:
    """Memory and open files of a process, from a moment on."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.first = self.most = self._now()

    def _now(self) -> tuple[float, int]:
        status = Path(f"/proc/{self.pid}/status").read_text()
        files = len(list(Path(f"/proc/{self.pid}/fd").iterdir()))
        return int(status.split("VmRSS:")[1].split()[0]) / 1024, files

    def look(self) -> None:
        """Keep the most of each."""
        mib, files = self._now()
        self.most = (max(mib, self.most[0]), max(files, self.most[1]))

    def grown(self) -> dict[str, float]:
        """By how much."""
        return {
            "more_mib": round(self.most[0] - self.first[0], 1),
            "more_files": self.most[1] - self.first[1],
        }


def _judged(found: dict[str, Any], wrong: list[str]) -> dict[str, Any]:
    wrong += ["memory grows"] if found["more_mib"] > MORE_MIB else []
    wrong += ["files stay open"] if found["more_files"] > MORE_FILES else []
    return {**found, "wrong": wrong}


def soak_serve(seconds: float, rate: float = 10.0) -> dict[str, Any]:
    """A picture kept and a look at the history, over and over; 200 pictures are kept at most."""
    wrong, asked, slowest = list[str](), 0, 0.0
    with tempfile.TemporaryDirectory() as place:
        words = [f"{place}/spots.blemish", "--port", "0", "--state", f"{place}/state"]
        log = Path(place, "log")
        server = RunningServer(spots([*words, "--keep", "200"], log), log)
        begun, foot = time.monotonic(), None
        while time.monotonic() - begun < seconds:
            level, started = 100 + asked % 20, time.monotonic()
            try:
                kept = {"keep": "true", "name": f"{asked}.png"}
                answer = server.client.post("/v1/predict", params=kept, content=png(part(level)))
                if answer.json()["results"][0]["score"] != level:
                    wrong.append(f"{asked}: {answer.text[:200]}")
                if asked % 50 == 0:
                    server.client.get("/v1/history").raise_for_status()
            except (httpx.HTTPError, KeyError) as error:
                wrong.append(f"{asked}: {type(error).__name__}: {error}")
            took = time.monotonic() - started
            asked, slowest = asked + 1, max(slowest, took)
            if foot is None and time.monotonic() - begun > seconds / 5:
                foot = Footprint(server.process.pid)
            if foot is not None:
                foot.look()
            time.sleep(max(0.0, 1 / rate - took))
        code = server.stop()
        wrong += [f"ended with {code}"] if code else []
        wrong += ["a traceback"] if "Traceback" in server.log.read_text() else []
    assert foot is not None
    said = {"seconds": seconds, "pictures": asked, "slowest_seconds": round(slowest, 3)}
    return _judged({**said, **foot.grown()}, wrong)


def soak_watch(seconds: float, rate: float = 4.0) -> dict[str, Any]:
    """Pictures fall into a folder that `predict --watch` judges, until it is told to stop."""
    from campaign import QUIET, folder_of_parts
    from campaign import part as good

    from blemish import Detector

    wrong, count = list[str](), 0
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        trained = folder_of_parts(here / "good", range(8))
        Detector("patchcore", image_size=64).fit(trained, progress=QUIET).save(here / "m.blemish")
        (here / "line").mkdir()
        program = "from blemish.cli.app import main; main()"
        words = ["predict", "m.blemish", "line", "--watch", "--csv", "rows.csv", "--quiet"]
        told = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        watcher = subprocess.Popen([sys.executable, "-c", told + program, *words], cwd=here)
        content = [png_of(good(seed)) for seed in range(8)]
        begun, foot = time.monotonic(), None
        while time.monotonic() - begun < seconds:
            (here / "line" / f"{count:06}.png").write_bytes(content[count % len(content)])
            count += 1
            if foot is None and time.monotonic() - begun > seconds / 5:
                foot = Footprint(watcher.pid)
            if foot is not None:
                foot.look()
            time.sleep(1 / rate)
        until = time.monotonic() + 30
        while _rows(here / "rows.csv") < count and time.monotonic() < until:
            time.sleep(0.5)
        watcher.send_signal(signal.SIGINT)
        code = watcher.wait(60)
        wrong += [] if code in (0, 1, 130) else [f"ended with {code}"]
        with (here / "rows.csv").open(newline="", encoding="utf-8") as file:
            names = sorted(Path(row["path"]).name for row in csv.DictReader(file))
        if names != [f"{n:06}.png" for n in range(count)]:
            wrong.append(f"{len(names)} rows of {len(set(names))} pictures for {count}")
    assert foot is not None
    return _judged({"seconds": seconds, "pictures": count, **foot.grown()}, wrong)


def png_of(image: Any) -> bytes:
    """The file of a picture."""
    import numpy as np

    return png(np.asarray(image))


def _rows(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines()) - 1 if path.exists() else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    asked_for = float(sys.argv[1])
    print(json.dumps({"serve": soak_serve(asked_for), "watch": soak_watch(asked_for)}, indent=1))
