"""One model for 4, 8, 16, 32 products: accuracy, size, memory and latency against their number.

    python benchmarks/many_products.py RESULT.json EIGHT LINE-0 LINE-1 … --counts 4,8,16,32

The data sets are taken in their order, each with the products it has; a name that is taken gets a
number. The first of them decide: their mean image AUROC is given at every count beside that of all
products. The demo line at several seeds gives products without end (``blemish demo``, or
``blemish.demo_line.line.write_demo_line``). Each count runs in a process of its own, so that its
memory is its own: fit, judging of the test images, export to ONNX, latency of the exported model
a picture at a time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from blemish import Detector
from blemish.benchmark.result_file import write_result
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet, Sample
from blemish.evaluation.timing import measure, peak_memory_mib
from blemish.export.exporter import export_model
from blemish.inspector import open_model
from blemish.methods.trio.config import TrioConfig
from blemish.metrics import auroc

FIRST = 4


def line_up(roots: list[str]) -> dict[str, list[Sample]]:
    """Samples of every product of every data set, in order, under names of their own."""
    products: dict[str, list[Sample]] = {}
    for root in roots:
        data = read_data_set(root)
        for name in data.products:
            own = name if name not in products else f"{name}-{len(products)}"
            products[own] = [replace(s, product=own) for s in data.of_products([name]).samples]
    return products


def one(count: int, roots: list[str], speed: str) -> dict[str, Any]:
    chosen = dict(list(line_up(roots).items())[:count])
    if len(chosen) < count:
        sys.exit(f"{count} products asked, {len(chosen)} found: name more data sets.")
    samples = [s for own in chosen.values() for s in own]
    tests = [s for s in samples if s.split == "test" and s.label is not None]
    start = time.perf_counter()
    dial = TrioConfig.speeds[speed]
    detector = Detector("trio", teacher=dial.teacher, image_size=dial.side)
    data = DataSet("products", samples[0].path.parent, tuple(samples))
    detector.fit(data, false_alarm_rate=0.05, seed=0)
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        trained, exported = Path(folder) / "m.blemish", Path(folder) / "m-onnx.blemish"
        detector.save(trained)
        export_model(trained, exported)
        model = open_model(exported)
        judged = model.judge_samples(iter(tests), calibration=model.calibration, batch_size=8)
        found = {str(sample.path): prediction for sample, prediction in judged}
        latency = measure(model, tests[:32], seconds=6.0)
        size = exported.stat().st_size / 2**20
    rows = {}
    for product in chosen:
        own = [s for s in tests if s.product == product]
        said = [found[str(s.path)] for s in own]
        bad = np.array([not s.is_good for s in own])
        stopped = np.array([p.verdict == "defect" for p in said])
        rows[product] = {
            "image_auroc": auroc(np.array([p.score for p in said]), bad.astype(int)),
            "found_at_5": float(stopped[bad].mean()),
            "stopped_at_5": float(stopped[~bad].mean()),
            "recognised": float(np.mean([p.recognised == product for p in said])),
        }
    return {
        "products": rows,
        "good_images": sum(s.is_good and s.split != "test" for s in samples),
        "fit_seconds": seconds,
        "file_mib": size,
        "peak_memory_mib": peak_memory_mib(),
        "latency_ms": latency.total.p50,
        "images_per_second": latency.images_per_second,
    }


def table(counts: dict[str, Any]) -> str:
    lines = [
        f"| products | AUROC of the first {FIRST} | of all | found at 5 % | stopped | recognised "
        "| good images | fit, s | exported file, MiB | latency, ms |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for count, row in counts.items():
        own = list(row["products"].values())
        first = 100 * np.mean([r["image_auroc"] for r in own[:FIRST]])
        names = ("image_auroc", "found_at_5", "stopped_at_5", "recognised")
        means = [f"{100 * np.mean([r[name] for r in own]):.1f}" for name in names]
        lines.append(
            f"| {count} | {first:.1f} | {' | '.join(means)} | {row['good_images']} "
            f"| {row['fit_seconds']:.0f} | {row['file_mib']:.0f} | {row['latency_ms']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--counts", default="4,8,16,32")
    parser.add_argument("--speed", default="fast")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        given.result.write_text(json.dumps(one(given.one, given.data, given.speed)))
        return
    counts: dict[str, Any] = {}
    for count in given.counts.split(","):
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "part.json"
            words = [__file__, str(part), *given.data, "--speed", given.speed, "--one", count]
            subprocess.run([sys.executable, *words], check=True)
            counts[count] = json.loads(part.read_text())
    content = {
        "command": "python benchmarks/many_products.py RESULT DATA … "
        f"--counts {given.counts} --speed {given.speed}",
        "data": [Path(root).name for root in given.data],
        "seed": 0,
        "counts": counts,
    }
    write_result(given.result, content)
    print(table(counts))


if __name__ == "__main__":
    main()
