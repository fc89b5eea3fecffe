"""A server under load from a second process, beside the runtime's own throughput.

    python benchmarks/bench_serve.py MODEL IMAGES --seconds 60 --in-flight 200

Starts ``blemish serve MODEL`` and keeps that many requests in flight, one image each, over
connections that stay open. A client that is told 503 waits as long as it is told. Before and after,
without the server, the same images go through ``predict`` in batches, as often as fills a third of
the time. Client and server share the machine's cores: what one takes, the other does not get. Goes
to ``benchmarks/results/serve.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from blemish.benchmark.result_file import write_result
from blemish.data.images.image_list import list_images
from blemish.inspector import open_model

RESULT = Path(__file__).parent / "results" / "serve.json"


class Load:
    """Requests in flight until a deadline, and what became of them."""

    def __init__(self, port: int, bodies: list[bytes], seconds: float) -> None:
        self.port = port
        self.requests = [
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            for body in bodies
        ]
        self.deadline = time.monotonic() + seconds
        self.statuses: Counter[int] = Counter()
        self.latencies: list[float] = []
        self.memory_mib: list[float] = []
        self.broken = 0

    async def client(self, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        turn = number
        while time.monotonic() < self.deadline:
            started = time.monotonic()
            writer.write(self.requests[turn % len(self.requests)])
            turn += 1
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
            except (asyncio.IncompleteReadError, ConnectionError):
                self.broken += 1
                return
            status = int(head.split()[1])
            self.statuses[status] += 1
            if status == 200:
                self.latencies.append(time.monotonic() - started)
            wait = re.search(rb"(?i)retry-after: (\d+)", head)
            if wait:
                await asyncio.sleep(int(wait[1]))
        writer.close()

    async def watch(self, pid: int) -> None:
        while time.monotonic() < self.deadline:
            text = Path(f"/proc/{pid}/status").read_text()
            self.memory_mib.append(int(text.split("VmRSS:")[1].split()[0]) / 1024)
            await asyncio.sleep(1)

    async def run(self, in_flight: int, pid: int) -> None:
        await asyncio.gather(self.watch(pid), *(self.client(n) for n in range(in_flight)))


def measure_server(
    model: Path, images: list[Path], seconds: float, in_flight: int
) -> dict[str, Any]:
    """The server under load."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        command = [sys.executable, "-m", "blemish.cli.app", "serve", str(model), "--port", "0"]
        server = subprocess.Popen(
            [*command, "--state", f"{folder}/state"], stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert server.stdout is not None
        found = re.search(r":(\d+) ", server.stdout.readline())
        assert found, (Path(folder) / "log").read_text()
        load = Load(int(found[1]), [path.read_bytes() for path in images], seconds)
        started, worked = time.monotonic(), processor_seconds(server.pid)
        asyncio.run(load.run(in_flight, server.pid))
        took = time.monotonic() - started
        worked = processor_seconds(server.pid) - worked
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)
    latencies = np.asarray(load.latencies)
    return {
        "seconds": round(took, 1),
        "in_flight": in_flight,
        "statuses": {str(status): count for status, count in sorted(load.statuses.items())},
        "broken_connections": load.broken,
        "images_per_second": round(len(latencies) / took, 2),
        "processor_ms_per_image": round(1000 * worked / len(latencies), 2),
        "latency_ms": {
            name: round(1000 * float(np.percentile(latencies, share)), 1)
            for name, share in (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100))
        },
        "memory_mib": {
            "after_a_tenth": round(load.memory_mib[len(load.memory_mib) // 10]),
            "end": round(load.memory_mib[-1]),
            "most": round(max(load.memory_mib)),
        },
        "exit_code": code,
    }


def processor_seconds(pid: int) -> float:
    """Time all threads of a process have computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_runtime(
    model: Path, images: list[Path], seconds: float, batch_size: int
) -> dict[str, float]:
    """``predict`` over the same files, from file to verdict."""
    detector = open_model(model)
    for _ in detector.predict(images[: 2 * batch_size], batch_size=batch_size):
        pass  # the first pass sets threads and memory up
    count, started, worked = 0, time.monotonic(), time.process_time()
    while (took := time.monotonic() - started) < seconds:
        for _ in detector.predict(images, batch_size=batch_size):
            count += 1
    worked = time.process_time() - worked
    return {
        "images_per_second": round(count / took, 2),
        "processor_ms_per_image": round(1000 * worked / count, 2),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--in-flight", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    images = list_images(options.images)
    # Before and after: the machine's own speed drifts by a few percent within minutes.
    before, served, after = (
        measure_runtime(options.model, images, options.seconds / 3, options.batch_size),
        measure_server(options.model, images, options.seconds, options.in_flight),
        measure_runtime(options.model, images, options.seconds / 3, options.batch_size),
    )
    runtime = {name: round((before[name] + after[name]) / 2, 2) for name in before}
    shown = [Path(word).name if os.sep in word else word for word in sys.argv[1:]]
    result = {
        "command": f"python benchmarks/bench_serve.py {shlex.join(shown)}",
        "date": time.strftime("%Y-%m-%d"),
        "images": len(images),
        "server": served,
        "runtime": runtime,
        "runtime_before_and_after": [before, after],
        "share_of_the_runtime": round(
            served["images_per_second"] / runtime["images_per_second"], 3
        ),
        "load_average": [round(value, 1) for value in os.getloadavg()],
    }
    print(json.dumps(result, indent=1))
    write_result(options.out, result)


if __name__ == "__main__":
    main()
