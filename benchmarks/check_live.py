"""A camera's 25 pictures a second through a server: dropped, memory, and time to the line.

    python benchmarks/check_live.py MODEL IMAGES --seconds 120

MODEL is an exported model file. IMAGES are played in turn as a video of 25 frames per second, 320
pixels wide, made here: once as a file, once as an MPEG transport stream over UDP on the loopback,
which a second process encodes as it goes. ``blemish serve --source`` judges every frame and sends
every verdict by webhook to a receiver in this process, which takes the time from the picture's own
stamp to the arrival. The server's memory is looked at every second. Server, sender and receiver
share the machine's cores. Goes to ``benchmarks/results/live.json``.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
from PIL import Image

from blemish.benchmark.result_file import write_result
from blemish.data.images.image_list import list_images

RESULT = Path(__file__).parent / "results" / "live.json"
RATE, SIDE = 25, 320


def encode(
    target: str, pictures: list[Any], frames: int, *, paced: bool, format: str, rate: int = RATE
) -> None:
    """Write frames as H.264; paced: one at a time, as a camera does."""
    with av.open(target, "w", format=format) as container:
        stream = container.add_stream("libx264", rate=rate)
        (stream.height, stream.width), stream.pix_fmt = pictures[0].shape[:2], "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "25", "crf": "4"}
        started = time.monotonic()
        for number in range(frames):
            picture = pictures[number % len(pictures)]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
            if paced:
                time.sleep(max(0.0, started + (number + 1) / rate - time.monotonic()))
        container.mux(stream.encode())


def pictures_of(folder: Path) -> list[Any]:
    return frames_of(list_images(folder)[:: max(1, len(list_images(folder)) // 50)])


def frames_of(paths: list[Path]) -> list[Any]:
    """Pictures as the camera gives them; those of another shape than the first are left out."""
    found = []
    for path in paths:
        with Image.open(path) as image:
            height = round(SIDE * image.height / image.width / 2) * 2
            found.append(np.asarray(image.convert("RGB").resize((SIDE, height))))
    return [one for one in found if one.shape == found[0].shape]


class Receiver(http.server.ThreadingHTTPServer):
    """Takes verdicts and the seconds that they took from the picture."""

    daemon_threads = True

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.stamps: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(self.server, Receiver)
        taken = datetime.fromisoformat(message["taken"]).timestamp()
        self.server.seconds.append(time.time() - taken)
        self.server.stamps.append(message["taken"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


def memory_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


def processor_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(model: Path, source: str, seconds: float, sender: list[str] | None) -> dict[str, Any]:
    receiver = Receiver()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "blemish.cli.app", "serve", str(model), "--port", "0"]
        words += ["--state", f"{folder}/state", "--source", source, "--keep-live", "not-ok,1/50"]
        words += ["--send", f"http://127.0.0.1:{receiver.server_port}/", "--spool", f"{folder}/sp"]
        with Path(folder, "log").open("wb") as log:
            server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found, Path(folder, "log").read_text()
        sending = None if sender is None else subprocess.Popen(sender)
        memory, started, begun = [], time.monotonic(), processor_ms(server.pid)
        while time.monotonic() < started + seconds + 8:
            time.sleep(1)
            memory.append(memory_mib(server.pid))
            state = httpx.get(f"{found[0]}/v1/live").json()
            if state["state"] == "ended":
                break
        time.sleep(2)
        state = httpx.get(f"{found[0]}/v1/live").json()
        worked = processor_ms(server.pid) - begun
        server.send_signal(signal.SIGTERM)
        ended = server.wait(60)
        if sending is not None:
            sending.wait(30)
        note = [line for line in Path(folder, "log").read_text().splitlines() if "WARN" in line]
    tenth = max(1, len(memory) // 10)
    waits = np.array(receiver.seconds) * 1000
    return {
        "frames": state["seen"],
        "judged": state["judged"],
        "dropped": state["dropped"],
        "processor_ms_per_picture": round(worked / max(1, state["judged"]), 1),
        "load_average": round(os.getloadavg()[0], 1),
        "verdicts_arrived": len(waits),
        "in_order": receiver.stamps == sorted(receiver.stamps),
        "counts": state["counts"],
        "milliseconds_p50": round(float(np.quantile(waits, 0.5)), 1),
        "milliseconds_p99": round(float(np.quantile(waits, 0.99)), 1),
        "milliseconds_most": round(float(waits.max()), 1),
        "memory_mib_after_a_tenth": round(memory[tenth], 1),
        "memory_mib_in_the_middle": round(memory[len(memory) // 2], 1),
        "memory_mib_at_the_end": round(memory[-1], 1),
        "exit_code": ended,
        "said": note[:5],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--send-to", help=argparse.SUPPRESS)  # the sender's process
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args()
    pictures, frames = pictures_of(given.images), round(RATE * given.seconds)
    if given.send_to:
        encode(given.send_to, pictures, frames, paced=True, format="mpegts")
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        stream = f"udp://127.0.0.1:{free.getsockname()[1]}"
    sender = [sys.executable, __file__, str(given.model), str(given.images), "--send-to"]
    sender += [f"{stream}?pkt_size=1316", "--seconds", str(given.seconds)]
    with tempfile.TemporaryDirectory() as folder:
        clip = f"{folder}/clip.mp4"
        encode(clip, pictures, frames, paced=False, format="mp4")
        found = {"video": measure(given.model, clip, given.seconds, None)}
        print(found, flush=True)
    found["udp"] = measure(given.model, stream, given.seconds, sender)
    print(found["udp"], flush=True)
    content = {
        "command": f"python benchmarks/check_live.py MODEL IMAGES --seconds {given.seconds:g}",
        "frames_per_second": RATE,
        "size": list(pictures[0].shape[:2]),
        "pictures": len(pictures),
        **found,
    }
    write_result(given.result, content)


if __name__ == "__main__":
    main()
