"""Do two processes train what one trains? Metrics and limits of both, at equal global batch.

    python benchmarks/check_ddp.py DATA/mvtec benchmarks/results/ddp.json

Trains BoRAD and LogicRD shortly by ``blemish fit``, as one process and as two, with gloo on the
CPU, and evaluates both. With ``--precision 64-true`` what is left apart is no rounding: it ends
with 1 where a metric differs by more than half a point or a limit by more than a thousandth of
itself. In float32 that holds of metrics alone; whether it does of limits is said. With
``--control`` also as one process of two threads, which says how far rounding alone carries: its
sums are taken in another order, and nothing else is different. A run is bounded by ``--steps``;
all of them take some minutes of two cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from blemish import Detector
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.nn.precision import DOUBLE

#: What a metric may differ by, and a limit, relative to itself.
POINTS, LIMITS = 0.5, 1e-3
WAYS: list[tuple[str, list[str], int]] = [
    ("one", [], 1),
    ("two", ["--devices", "2"], 1),
    ("two threads", [], 2),
]


def fit(
    data: Path, out: Path, method: str, asked: argparse.Namespace, *, ways: list[str], n: int
) -> float:
    words = ["fit", data, "-o", out, "-m", method, "--size", asked.size]
    words += ["--set", f"steps={asked.steps}", "--precision", asked.precision]
    words += ["--set", "batch_size=16", "--device", "cpu", "--cache-dir", out.parent / "features"]
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "blemish", *map(str, words), *ways, "-q"],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": str(n)},
    )
    return time.monotonic() - started


#: Of each product: metrics by name, and limits.
Judged = tuple[dict[str, dict[str, float]], dict[str, list[float]]]


def figures(data: Path, model: Path) -> Judged:
    detector = Detector.load(model)
    found = detector.evaluate(data, progress=Progress(quiet=True))
    metrics = {result.product: dict(result.metrics) for result in found.products}
    limits = detector.calibration
    assert limits is not None
    of = {name: limits.limits(name) for name in limits.products}
    return metrics, {name: [own.defect, own.unsure] for name, own in of.items()}


def apart(one: Judged, other: Judged) -> dict[str, float | bool]:
    """Largest difference of a metric, in points, and of a limit, relative to it; which held."""
    (metrics, limits), (others, their) = one, other
    points = [
        100 * abs(value - others[product][name])
        for product, own in metrics.items()
        for name, value in own.items()
        if 0 <= value <= 1
    ]
    relative = [
        abs(a - b) / abs(a)
        for name in limits
        for a, b in zip(limits[name], their[name], strict=True)
    ]
    return {
        "points": max(points),
        "points_held": max(points) <= POINTS,
        "limits": max(relative),
        "limits_held": max(relative) <= LIMITS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--methods", default="borad,logicrd")
    parser.add_argument("--precision", default="32-true", choices=("32-true", DOUBLE))
    parser.add_argument("--control", action="store_true")
    options = parser.parse_args()
    held = True
    row: dict[str, Any] = {"steps": options.steps, "size": options.size, "batch": 16}
    row["precision"] = options.precision
    with tempfile.TemporaryDirectory() as folder:
        for method in options.methods.split(","):
            found = {}
            for name, ways, threads in WAYS[: 3 if options.control else 2]:
                model = Path(folder) / f"{method}-{name.replace(' ', '-')}.blemish"
                seconds = fit(options.data, model, method, options, ways=ways, n=threads)
                found[name] = figures(options.data, model)
                print(f"{method} {name}: {seconds:.0f} s", flush=True)
            row[method] = {
                **{name: apart(found["one"], found[name]) for name in list(found)[1:]},
                "metrics": {name: own[0] for name, own in found.items()},
                "limits": {name: own[1] for name, own in found.items()},
            }
            for name in list(found)[1:]:
                own = row[method][name]
                print(
                    f"{method} {name}: metrics differ by {own['points']:.2f} points (at most "
                    f"{POINTS}: {own['points_held']}), limits by {own['limits']:.1e} of "
                    f"themselves (at most {LIMITS}: {own['limits_held']})",
                    flush=True,
                )
            two = row[method]["two"]
            held &= two["points_held"] and (two["limits_held"] or options.precision != DOUBLE)
            write_result(options.result, row)
    if not held:
        sys.exit(1)


if __name__ == "__main__":
    main()
