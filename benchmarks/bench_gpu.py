"""What does a GPU make of it: training, prediction, one picture at a time, and how busy it is.

    python benchmarks/bench_gpu.py benchmarks/results/gpu.json

Needs a CUDA build of torch and the extra `timm`. BoRAD and LogicRD as their papers have them, with
WideResNet-50-2 at 256², train on made-up pictures with random teacher weights, of which speed does
not depend: from cached features and with the teacher in every step, in float32 and in mixed
bfloat16; then they judge, in batches and one picture at a time, files read from the disk. Pictures
per second of training are the median of the second half of the steps, as `training.csv` has them.
How busy the GPU is, `nvidia-smi` says four times a second. To try the script without a GPU:

    python benchmarks/bench_gpu.py RESULT.json --device cpu --teacher efficientnet_lite0 \\
        --size 64 --steps 4 --pictures 16 --seconds 1
"""

from __future__ import annotations

import argparse
import csv
import shutil
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.data.sources import images_to_judge
from blemish.evaluation.timing import measure
from blemish.training.devices import resolve_device

METHODS = ("borad", "logicrd")
BATCH = 16
EVERY_SECONDS = 0.25


@contextmanager
def utilisation(device: str) -> Iterator[dict[str, float]]:
    """Filled, at the end, with the mean of what `nvidia-smi` says; empty where there is none."""
    found: dict[str, float] = {}
    seen: list[list[float]] = []
    done = threading.Event()
    number = device.partition(":")[2] or "0"
    words = ["nvidia-smi", f"--id={number}", "--format=csv,noheader,nounits"]
    words.append("--query-gpu=utilization.gpu,memory.used")

    def look() -> None:
        while not done.wait(EVERY_SECONDS):
            said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
            seen.append([float(value) for value in said.strip().split(",")])

    watcher = threading.Thread(target=look, daemon=True)
    if device.startswith("cuda") and shutil.which("nvidia-smi"):
        watcher.start()
    yield found
    done.set()
    if seen:
        busy, memory = np.asarray(seen).T
        found |= {"gpu_percent": round(float(busy.mean()), 1), "gpu_mib": float(memory.max())}


def trained(
    method: str, given: argparse.Namespace, folder: Path, *, precision: str, cached: bool
) -> tuple[Detector, dict[str, Any]]:
    """A detector, and the figures of its training."""
    detector = Detector(
        method,
        preset="paper",
        teacher=given.teacher,
        teacher_weights="random",
        image_size=given.size,
        settings={"steps": given.steps, "epochs": None, "batch_size": BATCH},
    )
    work = folder / f"{method}-{precision}-{cached}"
    options = TrainingOptions(
        device=given.device,
        precision=precision,
        work_dir=work,
        cache_dir=folder / "features",
        cache_budget_gib=64.0 if cached else 0.0,
    )
    with utilisation(given.device) as busy:
        detector.fit(
            folder / "parts",
            false_alarm_rate=0.3,
            training=options,
            progress=Progress(quiet=True),
        )
    with (work / "training.csv").open(newline="") as file:
        rates = [
            float(row["value"])
            for row in csv.DictReader(file)
            if row["name"].endswith("/pictures_per_second")
        ]
    return detector, {
        "precision": precision,
        "features": "cached" if cached else "in every step",
        "pictures_per_second": round(statistics.median(rates[len(rates) // 2 :]), 1),
        "whole_fit": busy,
    }


def judged(detector: Detector, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Of files: pictures per second in batches, and one at a time, whole and the network alone."""
    samples = list(images_to_judge(folder / "parts"))
    with utilisation(given.device) as busy:
        many = measure(detector, samples, batch_size=BATCH, seconds=given.seconds)
    return {
        "pictures_per_second": round(many.images_per_second, 1),
        "one_at_a_time_fps": round(1000 / many.total.p50, 1),
        "network_alone_fps": round(1000 / many.stages["network"].p50, 1),
        "milliseconds_p50_p99": [round(many.total.p50, 2), round(many.total.p99, 2)],
        **busy,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--teacher", help="default: the papers' WideResNet-50-2")
    parser.add_argument("--size", type=int, help="default: the papers' 256")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    given.device = resolve_device(given.device)  # refused now where it is not there
    gpu = torch.cuda.get_device_name(given.device) if given.device.startswith("cuda") else None
    content: dict[str, Any] = {"device": gpu or given.device, "batch": BATCH}
    content |= {"teacher": given.teacher or "as the papers", "size": given.size or 256}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "parts" / "train" / "good").mkdir(parents=True)
        rng = np.random.default_rng(0)
        for number in range(given.pictures):
            pixels = rng.integers(90, 110, (256, 256, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "parts" / "train" / "good" / f"{number:05}.png")
        for method in METHODS:
            content[method] = {"training": []}
            for precision in ("32-true", "bf16-mixed"):
                for cached in (True, False):
                    detector, figures = trained(
                        method, given, folder, precision=precision, cached=cached
                    )
                    content[method]["training"].append(figures)
                    print(method, figures, flush=True)
            content[method]["prediction"] = judged(detector, given, folder)
            print(method, content[method]["prediction"], flush=True)
            write_result(given.result, content)


if __name__ == "__main__":
    main()
