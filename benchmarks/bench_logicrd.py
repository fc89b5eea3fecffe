"""LogicRD: latency beside reverse distillation, where its boxes point, and what leaks.

    python benchmarks/bench_logicrd.py latency
    python benchmarks/bench_logicrd.py boxes LINE --seeds 0,1,2 --set steps=600

``latency`` times the same images through both systems in turn, batch 1 and 16, in one process, so
that other work on the machine meets both alike; the ratio is of the medians, and of the fastest
passes. Weights do not matter for speed and are not trained.

``boxes`` trains LogicRD with and without the gate on a line in the layout of MVTec LOCO. It counts
how often the box of the explanation touches the ground truth of a logical defect, beside a box of
the same size anywhere in the picture, and measures anomaly leakage
(:mod:`blemish.evaluation.diagnostic_measures`) and how far the gates stand open inside and outside
planted anomalies. Everything goes to ``benchmarks/results/logicrd-<part>.json``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.data.images.reading import read_mask
from blemish.data.layouts import read_data_set
from blemish.data.planted import plant_anomaly
from blemish.data.sources import load_input
from blemish.evaluation.diagnosis import diagnose
from blemish.inspection.prediction import explain
from blemish.methods.logicrd.model import LogicRD
from blemish.methods.registry import method_class
from blemish.methods.settings import parse_settings
from blemish.teachers.teacher import build_teacher

RESULTS = Path(__file__).parent / "results"


def latency(rounds: int, size: int, threads: int) -> dict[str, Any]:
    """Milliseconds per image of both systems at batch 1 and 16, and their ratios."""
    torch.set_num_threads(threads)
    teacher = build_teacher()
    variants: dict[str, tuple[str, dict[str, Any]]] = {
        "rd": ("rd", {}),
        "logicrd": ("logicrd", {}),
        "logicrd, structural branch only": ("logicrd", {"logical": False}),
        "logicrd, logical branch only": ("logicrd", {"structural": False}),
    }

    def untrained(name: str, settings: dict[str, Any]) -> Any:
        found = method_class(name)
        return found(parse_settings(found.config_class, settings), teacher, (size, size)).eval()

    methods = {label: untrained(name, settings) for label, (name, settings) in variants.items()}
    found: dict[str, Any] = {"size": size, "threads": threads, "rounds": rounds}
    generator = torch.Generator().manual_seed(0)
    for batch in (1, 16):
        images = torch.randint(
            0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=generator
        )
        seconds: dict[str, list[float]] = {label: [] for label in methods}
        with torch.inference_mode():
            for _ in range(rounds + 2):
                for label, method in methods.items():
                    started = time.perf_counter()
                    method(images)
                    seconds[label].append(time.perf_counter() - started)
        each = {k: np.array(v[2:]) * 1000 / batch for k, v in seconds.items()}  # without warm-up
        rd = each["rd"]
        found[f"batch {batch}"] = {
            label: {
                "median_ms": round(float(np.median(ms)), 2),
                "fastest_ms": round(float(ms.min()), 2),
                "ratio_of_medians": round(float(np.median(ms) / np.median(rd)), 3),
                "ratio_of_fastest": round(float(ms.min() / rd.min()), 3),
            }
            for label, ms in each.items()
        }
    return found


def boxes(line: str, seeds: list[int], settings: dict[str, str]) -> dict[str, Any]:
    """Hits of the boxes, leakage and gates, for every seed with and without the gate."""
    runs: list[dict[str, Any]] = []
    for seed in seeds:
        for gate in (True, False):
            detector = Detector("logicrd", settings={**settings, "gate": gate})
            training = TrainingOptions(seed=seed, precision="bf16-mixed")
            detector.fit(line, training=training, progress=Progress(quiet=True))
            found: dict[str, Any] = {"seed": seed, "gate": gate}
            found["leakage_copied"] = list(
                diagnose(detector, line, split="validation").leakage.copied
            )
            if gate:
                found["gates"] = _gates(detector, line)
                found["boxes"] = _boxes(detector, line, seed)
            print(json.dumps(found), flush=True)
            runs.append(found)
    return {"line": Path(line).name, "settings": settings, "runs": runs}


def _boxes(detector: Detector, line: str, seed: int) -> dict[str, Any]:
    """Per product and over all: touching boxes among logical test images, and by chance."""
    assert detector.method is not None
    assert detector.preprocessing is not None
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, bool, bool, float, float]] = []
    by_path = {p.path: p for _, p in detector.judge_test_images(line)}
    for sample in read_data_set(line).split("test").samples:
        if sample.defect_kind is None or "logical" not in sample.defect_kind:
            continue
        pixels, size, *_ = load_input(sample, detector.preprocessing)
        with torch.inference_mode():
            output = detector.method(torch.from_numpy(pixels).permute(2, 0, 1)[None])
        assert output.departure is not None
        found = explain(
            output.departure[0, 0].numpy(),
            branch="logical",
            preprocessing=detector.preprocessing,
            source_size=size,
        )
        truth = np.any([read_mask(path) > 0 for path in sample.mask_paths], axis=0)
        called = by_path[sample.path].branches["logical"].verdict == "defect"
        if found is None:
            rows.append((sample.product, called, False, 0.0, 0.0))
            continue
        left, top, right, bottom = found.box
        share = (right - left) * (bottom - top) / truth.size
        hit = bool(truth[top:bottom, left:right].any())
        rows.append((sample.product, called, hit, share, _chance(truth, found.box, rng)))
    table: dict[str, Any] = {}
    for product in (*sorted({row[0] for row in rows}), "all"):
        own = [row for row in rows if product in (row[0], "all")]
        stopped = [row for row in own if row[1]]
        table[product] = {
            "logical_images": len(own),
            "touching": sum(row[2] for row in own),
            "called_defect": len(stopped),
            "touching_of_called": sum(row[2] for row in stopped),
            "box_share_of_picture": round(float(np.mean([row[3] for row in own])), 3),
            "touching_by_chance": round(float(np.mean([row[4] for row in own])), 3),
        }
    return table


def _chance(
    truth: NDArray[np.bool_], box: tuple[int, int, int, int], rng: np.random.Generator
) -> float:
    """How often a box of this size, anywhere in the picture, touches the ground truth."""
    height, width = box[3] - box[1], box[2] - box[0]
    hits = 0
    for _ in range(200):
        top = int(rng.integers(truth.shape[0] - height + 1))
        left = int(rng.integers(truth.shape[1] - width + 1))
        hits += bool(truth[top : top + height, left : left + width].any())
    return hits / 200


def _gates(detector: Detector, line: str) -> dict[str, Any]:
    """How far the gates of each level stand open inside and outside planted anomalies."""
    method, prepare = detector.method, detector.preprocessing
    assert isinstance(method, LogicRD)
    assert prepare is not None
    rng = np.random.default_rng(0)
    inside: list[list[float]] = [[] for _ in method.teacher.channels]
    outside: list[list[float]] = [[] for _ in method.teacher.channels]
    for sample in read_data_set(line).split("validation").samples:
        image, mask = plant_anomaly(load_input(sample, prepare)[0], rng)
        with torch.inference_mode():
            levels = method.teacher(torch.from_numpy(image).permute(2, 0, 1)[None])
            levels = method.standardise(tuple(levels))
            _, logits = method.reconstruct(levels, method.maps(levels))
        for level, gate in enumerate(logits):
            factor = mask.shape[0] // gate.shape[2]
            cells = mask.reshape(gate.shape[2], factor, gate.shape[3], factor).mean((1, 3))
            opened = torch.sigmoid(gate)[0, 0].numpy()
            inside[level] += opened[cells > 0.5].tolist()
            outside[level] += opened[cells == 0].tolist()
    return {
        "open_inside": [round(float(np.mean(v)), 3) if v else None for v in inside],
        "open_outside": [round(float(np.mean(v)), 3) for v in outside],
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("latency", "boxes"))
    parser.add_argument("line", nargs="?", default="")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    if given.part == "latency":
        found = latency(given.rounds, given.size, given.threads)
    elif not given.line:
        parser.error("boxes needs the folder of a line")
    else:
        settings = dict(setting.split("=", 1) for setting in given.settings)
        found = boxes(given.line, [int(s) for s in given.seeds.split(",")], settings)
    words = [Path(word).name if "/" in word else word for word in arguments]
    found = {
        "command": shlex.join(["python", "benchmarks/bench_logicrd.py", *words]),
        **found,
    }
    write_result(RESULTS / f"logicrd-{given.part}.json", found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
