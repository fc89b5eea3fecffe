"""What exporting costs and gains: parity, accuracy by product, speed, size, time to import.

    blemish fit DATA --method rd --out MODEL
    python benchmarks/bench_export.py MODEL DATA benchmarks/results/export.json

MODEL is trained; DATA a data set with good training and labelled test images. Exports MODEL three
times (ONNX float32, ONNX int8, OpenVINO float32), each compared with it on good training images.

Speed is that of the network from pixels at the input size to map and score, batch 1 and 8. The
model, the teacher alone in the same runtime, and the trained model in PyTorch are timed in blocks
of calls in turn, so that a busy machine slows all three; the first calls of a block do not count,
for the threads of the library before it go on spinning for a while. `wall_ms` and `cpu_ms` are
medians per image. Ratios of `cpu_ms` at one thread hold on a busy machine too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blemish import Detector
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.data.layouts import read_data_set
from blemish.evaluation.timing import teacher_alone
from blemish.export import ParityError, export_model
from blemish.inspector import ExportedDetector, Inspector, open_model
from blemish.metrics import auroc
from blemish.runtime.cores import usable_cores
from blemish.runtime.networks import OnnxNetwork

FORMATS: dict[str, dict[str, Any]] = {
    "onnx": {},
    "onnx-int8": {"int8": True},
    "openvino": {"format": "openvino"},
}
#: What is said of the training.
TRAINING = ("seed", "training_images", "calibration_images", "precision", "seconds")
GOOD_PER_PRODUCT = 24
WARM_UP, BLOCK = 6, 10  # calls of one network in a row: not timed, timed


def main(model: str, data: str, result: str, rounds: int = 40) -> None:
    detector = Detector.load(model)
    with tempfile.TemporaryDirectory() as folder:
        content: dict[str, Any] = {
            "command": f"python benchmarks/bench_export.py {Path(model).name} {Path(data).name}",
            "method": detector.method_name,
            "training": {name: detector.training[name] for name in TRAINING},
            "good_images": link_good_images(data, Path(folder) / "good", detector.products),
            "image_auroc": {"trained": image_auroc(detector, data)},
            "exports": {},
        }
        for name, options in FORMATS.items():
            path = Path(folder) / f"{name}.blemish"
            try:
                report = export_model(model, path, images=Path(folder) / "good", **options)
            except ParityError as error:
                content["exports"][name] = {"refused": str(error)}
                continue
            exported = open_model(path)
            assert isinstance(exported, ExportedDetector)
            content["image_auroc"][name] = image_auroc(exported, data)
            content["exports"][name] = {
                "parity": report.parity.to_json(),
                "notes": list(report.notes),
                "file_mib": round(path.stat().st_size / 2**20, 2),
                "speed": [
                    speed(path, detector, threads=threads, batch=batch, rounds=rounds)
                    for threads in sorted({1, usable_cores()})
                    for batch in (1, 8)
                ],
                "profile_share": profile(exported),
                "import_and_open_s": import_seconds(path),
            }
            print(name, json.dumps(content["exports"][name]["speed"]), flush=True)
        content["file_mib_trained"] = round(Path(model).stat().st_size / 2**20, 2)
        content["import_and_open_s_trained"] = import_seconds(Path(model))
    write_result(result, content)


def link_good_images(data: str, folder: Path, products: tuple[str, ...]) -> int:
    """Good training images in folders named as the products; returns their number."""
    count = 0
    samples = read_data_set(data).split("train").samples
    for product in products:
        own = [s for s in samples if s.product == product and s.is_good]
        (folder / product).mkdir(parents=True)
        for row in np.unique(np.linspace(0, len(own) - 1, GOOD_PER_PRODUCT).round().astype(int)):
            source = own[row].path.resolve()
            (folder / product / f"{row:05}{source.suffix}").symlink_to(source)
            count += 1
    return count


def image_auroc(model: Inspector, data: str) -> dict[str, float]:
    """Image AUROC by product on the test images, from raw scores."""
    scores: dict[str, list[tuple[float, bool]]] = {}
    for sample, prediction in model.judge_test_images(data, progress=Progress(quiet=True)):
        scores.setdefault(sample.product, []).append((prediction.score, not sample.is_good))
    found = {}
    for product, pairs in scores.items():
        values, labels = zip(*pairs, strict=True)
        found[product] = auroc(np.asarray(values), np.asarray(labels))
    return {**found, "mean": float(np.mean(list(found.values())))}


def speed(
    path: Path, detector: Detector, *, threads: int, batch: int, rounds: int
) -> dict[str, Any]:
    """Medians per image of the exported model, its floor and the trained model, in turn."""
    exported = open_model(path, threads=threads)
    assert isinstance(exported, ExportedDetector)
    torch.set_num_threads(threads)
    pixels = (
        np.random.default_rng(0)
        .integers(0, 256, (batch, *exported.preprocessing.size, 3))
        .astype(np.uint8)
    )
    calls: dict[str, Callable[[NDArray[np.uint8]], object]] = {
        "exported": exported.network,
        "pytorch": detector.ready()[0],
    }
    floor, what = teacher_alone(exported)
    if floor is not None:
        calls["teacher"] = floor
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(max(1, rounds // BLOCK)):
        for name, call in calls.items():
            for turn in range(WARM_UP + BLOCK):
                wall, cpu = time.perf_counter(), time.process_time()
                call(pixels)
                if turn >= WARM_UP:
                    times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    medians = {name: 1e3 * np.median(values, axis=0) / batch for name, values in times.items()}
    line: dict[str, Any] = {"threads": threads, "batch": batch, "floor": what}
    for name, (wall_ms, cpu_ms) in medians.items():
        line[name] = {"wall_ms": round(float(wall_ms), 2), "cpu_ms": round(float(cpu_ms), 2)}
    for name in medians.keys() - {"exported"}:
        ratios = medians["exported"] / medians[name]
        line[f"times_{name}"] = {
            "wall": round(float(ratios[0]), 3),
            "cpu": round(float(ratios[1]), 3),
        }
    return line


def profile(exported: ExportedDetector) -> dict[str, float]:
    """Share of ONNX Runtime's time by operator, one thread, batch 1; empty for other runtimes."""
    if not isinstance(exported.network, OnnxNetwork):
        return {}
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        exported.save(Path(folder) / "model.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(
            Path(folder) / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        pixels = np.zeros((1, *exported.preprocessing.size, 3), np.uint8)
        for _ in range(20):
            session.run(None, {"pixels": pixels})
        events = json.loads(Path(session.end_profiling()).read_text())
    shares: dict[str, float] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            operator = event["args"]["op_name"]
            shares[operator] = shares.get(operator, 0.0) + event["dur"]
    total = sum(shares.values())
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return {name: round(value / total, 3) for name, value in ordered[:10]}


def import_seconds(path: Path, repeats: int = 3) -> float:
    """Least seconds of processor time of a fresh interpreter that opens the model."""
    program = (
        "import time; from blemish.inspector import open_model; "
        f"open_model({str(path)!r}, threads=1); "
        "print(time.process_time())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(repeats)
    ]
    return round(min(map(float, runs)), 2)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], *map(int, sys.argv[4:5]))
