"""Inputs that are hard on memory and patience: what they cost at the command line and the server.

    python benchmarks/check_hard_inputs.py MODEL PICTURE [--passes 20000] [--seconds 40]

MODEL is a trained model, exported here for OpenVINO; PICTURE one that it can judge. In turn:

- passes of changing batch sizes through OpenVINO, and the memory after every fifth of them;
- a file that grows for ``--seconds`` under ``predict --watch``: when it is judged, and once;
- 30,000 × 8,000 pixels as PNG and TIFF, at ``predict`` and the server: time and memory.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

from blemish import open_model
from blemish.export import export_model

_MAIN = "import sys; from blemish.cli.app import main; main()"


def blemish(*words: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _MAIN, *map(str, words)]
    return subprocess.Popen(command, text=True, stderr=subprocess.DEVNULL, **options)  # type: ignore[call-overload]


def resident() -> float:
    """Memory of this process now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def many_passes(model: Path, count: int) -> None:
    network, prepare = open_model(model).ready()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, *prepare.size, 3)).astype(np.uint8)
    sizes = []
    for number in range(count + 1):
        network(pixels[: rng.integers(1, 9)])
        if number and number % (count // 5) == 0:
            sizes.append(resident())
    print(f"{count:,} passes of 1 to 8 pictures: MiB {', '.join(f'{s:.0f}' for s in sizes)}")


def growing(model: Path, picture: Path, seconds: int, folder: Path) -> None:
    line = folder / "line"
    line.mkdir()
    out = folder / "out.jsonl"
    watch = blemish("predict", model, "--watch", line, "--json", out, stdout=subprocess.DEVNULL)
    content = picture.read_bytes()
    begun = time.monotonic()
    with (line / "slow.png").open("wb") as file:
        for part in range(seconds):
            start, end = (len(content) * (part + k) // seconds for k in (0, 1))
            file.write(content[start:end])
            file.flush()
            assert not out.exists() or not out.read_text(), "judged before it was whole"
            time.sleep(1 if part + 1 < seconds else 0)
    whole = time.monotonic()
    while not (out.exists() and out.read_text()):
        time.sleep(0.05)
        assert watch.poll() is None, "it ended"
    judged = time.monotonic()
    time.sleep(2)
    watch.terminate()
    watch.wait()
    (row,) = map(json.loads, out.read_text().splitlines())
    print(
        f"a file that grows for {whole - begun:.0f} s: judged {judged - whole:.1f} s after its "
        f"end, once, as {row['verdict']}"
    )


def peak_of(process: subprocess.Popen[str]) -> tuple[int, float, float]:
    """Exit code, seconds and peak MiB of a process that is waited for."""
    begun, peak = time.monotonic(), 0.0
    while process.poll() is None:
        peak = max(peak, high_water(process))
        time.sleep(0.02)
    return process.returncode, time.monotonic() - begun, peak


def high_water(process: subprocess.Popen[str]) -> float:
    """Largest memory of a process so far, in MiB; what it was forked from does not count."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**10
    return 0.0


def very_large(model: Path, picture: Path, folder: Path) -> None:
    shown = Image.new("RGB", (8_000, 30_000), (90, 120, 60))
    files = [folder / "huge.png", folder / "huge.tif"]
    shown.save(files[0], compress_level=1)
    shown.save(files[1], compression="tiff_lzw")
    del shown
    for path in files:
        code, seconds, peak = peak_of(blemish("predict", model, path))
        print(f"predict {path.name}: exit code {code}, {seconds:.1f} s, peak {peak:.0f} MiB")
    server = blemish("serve", model, "--port", "8899", stdout=subprocess.DEVNULL)
    try:
        address = "http://127.0.0.1:8899/v1/predict"
        _until_up(address)
        for path in (*files, picture):
            kind = "tiff" if path.suffix == ".tif" else path.suffix[1:]
            begun = time.monotonic()
            said = _post(address, path.read_bytes(), f"image/{kind}")
            print(f"server, {path.name}: {said}, {time.monotonic() - begun:.2f} s")
        peak = high_water(server)
    finally:
        server.terminate()
        server.wait()
    print(f"server: peak {peak:.0f} MiB")


def _until_up(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(address.replace("predict", "model"), timeout=5).read()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit("the server did not answer")


def _post(address: str, content: bytes, kind: str) -> str:
    request = urllib.request.Request(address, content, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return f"{answer.status}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {json.loads(error.read())['error']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--passes", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=40)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exported = export_model(asked.model, folder / "m.blemish", format="openvino").path
        growing(exported, asked.picture, asked.seconds, folder)
        very_large(exported, asked.picture, folder)
        many_passes(exported, asked.passes)


if __name__ == "__main__":
    main()
