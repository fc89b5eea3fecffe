"""Time and peak memory of one large picture, from the file to the line of the CSV, by its side.

    python benchmarks/large_picture_memory.py RESULT.json [--sides 2000,4000,8000] [--export]
        [--coarse]

A tiled ``trio`` (tiles of 384², random teacher: neither time nor memory depends on the weights)
judges a JPEG of noise in a process of its own, with every verb's own start in the time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result

#: Runs a verb and says the largest resident size of this process, in KiB. Not by ``getrusage``,
#: which counts the process that it was started from too.
_WATCHED = """
import sys
from pathlib import Path
from blemish.cli.app import app
sys.argv[0] = "blemish"
try:
    app()
finally:
    print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def noise(side: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tile = rng.integers(90, 120, (500, 500, 3)).astype(np.uint8)
    times = -(-side // 500)
    return np.tile(tile, (times, times, 1))[:side, :side]


def run_watched(words: Sequence[object]) -> float:
    """Run a verb in a process of its own; its peak in MiB.

    Raises:
        SystemExit: The verb failed.
    """
    command = [sys.executable, "-c", _WATCHED, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 2:
        sys.exit(done.stderr)
    return int(done.stdout.split()[-1]) / 1024


def judge(model: Path, picture: Path, csv: Path) -> dict[str, float]:
    started = time.perf_counter()
    peak = run_watched(["predict", model, picture, "--csv", csv, "-q"])
    seconds = time.perf_counter() - started
    assert len(csv.read_text().splitlines()) == 2
    return {"seconds": seconds, "peak_mib": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--sides", default="2000,4000,8000")
    parser.add_argument("--export", action="store_true", help="in ONNX Runtime, without torch")
    parser.add_argument("--coarse", action="store_true", help="the whole is looked at as well")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.blemish"
        detector = Detector(tile=384, coarse=given.coarse, teacher_weights="random")
        good = np.stack([noise(400, seed) for seed in range(8)])
        options = TrainingOptions(device="cpu")
        detector.fit(good, false_alarm_rate=0.2, training=options, progress=Progress(quiet=True))
        detector.save(model)
        if given.export:
            from blemish.export.exporter import export_model

            model = export_model(model).path
        for side in map(int, given.sides.split(",")):
            picture = Path(folder) / f"{side}.jpg"
            Image.fromarray(noise(side, 9)).save(picture, quality=90)
            row = judge(model, picture, Path(folder) / f"{side}.csv")
            rows.append({"side": side, "megapixels": side**2 / 1e6, **row})
            print(rows[-1], flush=True)
    content = {
        "command": "python benchmarks/large_picture_memory.py RESULT"
        + (" --export" if given.export else "")
        + (" --coarse" if given.coarse else ""),
        "rows": rows,
    }
    write_result(given.result, content)


if __name__ == "__main__":
    main()
