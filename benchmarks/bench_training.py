"""How many pictures a second does BoRAD train on, on a quiet machine and beside four busy programs?

    git worktree add ../before COMMIT
    python benchmarks/bench_training.py benchmarks/results/training.json --before ../before/src

Trains by the command line, on made-up pictures of 256×256 with random teacher weights, and takes
the median time between two steps; with ``--before`` the sources of an earlier commit in turn, in
the same run, and the present ones with ``--precision auto`` too. The four programs do nothing but
count. Ends with 1 where the present sources are not 1.5 times as fast as the earlier ones, or more
than three times slower under the load. To be run where nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blemish.benchmark.result_file import write_result

PICTURES, SIDE, BATCH, LOAD = 48, 256, 16, 4
FASTER, SLOWER = 1.5, 3.0
#: First steps, in which kernels are prepared.
WARM = 3

#: The command line, with a clock at every step. It is set once the method is imported, so that
#: torch is imported when and as the command line does it.
TIMED = """
import builtins, json, sys, time
times, found, real = [], [], builtins.__import__
def watching(*words, **more):
    module = real(*words, **more)
    # Where the method is today, and where earlier versions had it.
    for name in ("blemish.methods.borad.model", "blemish.methods.borad"):
        borad = sys.modules.get(name)
        if found or not hasattr(borad, "BoRAD"):
            continue
        found.append(borad.BoRAD)
        after = borad.BoRAD.after_step
        def after_step(self, stage, step):
            after(self, stage, step)
            times.append(time.perf_counter())
        borad.BoRAD.after_step = after_step
    return module
builtins.__import__ = watching
from blemish.cli.app import main
try:
    main()
finally:
    with open({times!r}, "w") as file:
        json.dump(times, file)
"""


@contextmanager
def load(count: int) -> Iterator[None]:
    """So many programs that want a core each."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def pictures_per_second(source: Path, folder: Path, steps: int, *more: str) -> float:
    """Of a training by the command line of these sources."""
    times = folder / "times.json"
    script = folder / "timed.py"
    script.write_text(TIMED.format(times=str(times)))
    words = ["fit", folder / "part", "-o", folder / "m.blemish", "-m", "borad", "-q", "--restart"]
    words += ["--teacher-weights", "random", "--size", SIDE, "--device", "cpu"]
    words += ["--set", f"steps={steps}", "--set", f"batch_size={BATCH}", *more]
    words += ["--cache-dir", folder / f"features-{abs(hash(source))}", "--false-alarm-rate", "0.2"]
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_"))}
    subprocess.run(
        [sys.executable, str(script), *map(str, words)],
        check=True,
        env={**variables, "PYTHONPATH": str(source)},
    )
    found = json.loads(times.read_text())[-steps:]
    between = [b - a for a, b in zip(found[WARM:], found[WARM + 1 :], strict=False)]
    return round(BATCH / statistics.median(between), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--before", type=Path, help="src folder of an earlier commit")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2, help="of which the faster counts")
    options = parser.parse_args()
    own = Path(__file__).parents[1] / "src"
    sources: dict[str, tuple[Any, ...]] = {"now": (own,), "now, auto": (own, "--precision", "auto")}
    if options.before:
        sources["before"] = (options.before.resolve(),)
    found: dict[str, dict[str, float]] = {name: {} for name in sources}
    with tempfile.TemporaryDirectory() as folder:
        good = Path(folder) / "part" / "train" / "good"
        good.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for number in range(PICTURES):
            pixels = rng.integers(90, 110, (SIDE, SIDE, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(good / f"{number}.png")
        for name, busy in (("quiet", 0), ("load of four", LOAD)):
            for _ in range(options.rounds):
                for version, (source, *more) in sources.items():
                    with load(busy):
                        now = pictures_per_second(source, Path(folder), options.steps, *more)
                    found[version][name] = max(now, found[version].get(name, 0.0))
                    print(f"{version}, {name}: {now} pictures/s", flush=True)
    slower = {name: round(own["quiet"] / own["load of four"], 2) for name, own in found.items()}
    content: dict[str, Any] = {
        "method": "borad",
        "size": SIDE,
        "batch": BATCH,
        "pictures_per_second": found,
    }
    content |= {"times_slower_under_load": slower}
    if "before" in found:
        for name, key in (("now", "times_faster"), ("now, auto", "times_faster_auto")):
            content[key] = round(found[name]["quiet"] / found["before"]["quiet"], 2)
    write_result(options.result, content)
    print(content)
    if slower["now"] > SLOWER or content.get("times_faster", FASTER) < FASTER:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
