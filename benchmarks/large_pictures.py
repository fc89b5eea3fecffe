"""Small defects in large pictures: squeezed, larger input, tiles, two scales, by true pixel size.

    python benchmarks/large_pictures.py RESULT.json DATA … [--ways "squeezed;default;tiled"]
        [--seeds 0] [--tests 1000] [--models FOLDER] [--spots 1] [--cache FOLDER]

DATA are folders of one product each, in MVTec's layout. For each way of seeing a picture ``trio``
learns the good training pictures with limits for 5 %; then: image AUROC and AUPRO on the test
pictures; share of good ones stopped and of defects found at that limit; and of spots of 4, 8, 16
and 32 true pixels, planted into good test pictures, the share found. Beside it the time of a
picture, from the file to the verdict, and of the training. The result grows with every run, so that
one that is stopped has lost nothing. With --models trained models are kept, and taken from there
the next time, and pictures are judged by their export, in ONNX Runtime. Spots are planted with the
first so many seeds; --cache keeps the teacher's features, which the seeds share.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from blemish import Detector, TrainingOptions, open_model
from blemish.benchmark.result_file import write_result
from blemish.data.images.reading import read_image
from blemish.data.layouts import read_data_set
from blemish.data.planted import plant_spot
from blemish.data.sample import DataSet, Sample
from blemish.evaluation.evaluator import Evaluator
from blemish.export.exporter import export_model
from blemish.inspector import Inspector
from blemish.metrics import auroc
from blemish.report.promise import check_promise

RATE = 0.05
SPOTS = (4, 8, 16, 32)
DEEP = "efficientnet_lite0@8-16-32"  # a level of larger things in place of the smallest
BEST_DEEP = "efficientnet_lite2@8-16-32"
TWO_SCALES: dict[str, Any] = {"tile": "auto", "coarse": True}  # and the whole, at a tile's size
NO_LAYOUT: dict[str, Any] = {"settings": {"layout_weight": 0}}
#: Ways of seeing a picture, as the detector is asked for them.
WAYS: dict[str, dict[str, Any]] = {
    "squeezed": {"speed": "fast"},  # about 256² pixels, the picture's shape
    "default": {"speed": "balanced"},  # about 384²
    "two looks": {"coarse": True},  # about 384² and 640²
    "tiled": {"tile": "auto"},  # of 384² at most
    "tiled 384": {"tile": 384},
    "tiled 256": {"tile": 256},
    "tiled half": {"tile": "auto", "scale": 0.5},
    "two scales": TWO_SCALES,
    "two scales, no layout": TWO_SCALES | NO_LAYOUT,
    "best": {"teacher": "efficientnet_lite2"},
    "best, two scales": {"teacher": "efficientnet_lite2"} | TWO_SCALES,
    "best, no layout": {"teacher": "efficientnet_lite2"} | NO_LAYOUT,
    "deep": {"teacher": DEEP},
    "deep, no layout": {"teacher": DEEP} | NO_LAYOUT,
    "deep, tiled, no layout": {"teacher": DEEP, "tile": "auto"} | NO_LAYOUT,
    "deep, two scales, no layout": {"teacher": DEEP} | TWO_SCALES | NO_LAYOUT,
    "best, deep, two scales, no layout": {"teacher": BEST_DEEP} | TWO_SCALES | NO_LAYOUT,
}


def spots(good: list[Sample], diameter: int) -> list[Sample]:
    planted = []
    for number, sample in enumerate(good):
        rng = np.random.default_rng([diameter, number])
        image, _ = plant_spot(read_image(sample.path), rng, diameter)
        planted.append(replace(sample, image=image, label=1, mask_paths=()))
    return planted


def trained(
    data: DataSet, way: str, seed: int, models: Path | None, cache: Path | None
) -> tuple[Inspector, float]:
    """A model that judges, and how long its training took."""
    file = models and models / f"{data.products[0]}-{way.replace(' ', '-')}-{seed}.blemish"
    if file is None or not file.exists():
        detector = Detector("trio", **WAYS[way])
        options = TrainingOptions(seed=seed, device="cpu", cache_dir=cache)
        detector.fit(data, false_alarm_rate=RATE, training=options)
        if file is None:
            return detector, detector.fit_report.seconds
        detector.save(file)
    exported = file.with_suffix(".onnx.blemish")
    if not exported.exists():
        export_model(file, exported)
    model = open_model(exported)
    return model, float(model.training["seconds"])


def measure(
    data: DataSet,
    way: str,
    seed: int,
    tests: int,
    models: Path | None,
    *,
    spotted: bool = True,
    cache: Path | None = None,
) -> dict[str, Any]:
    detector, training_seconds = trained(data, way, seed, models, cache)
    _, preprocessing = detector.ready()
    assert detector.calibration is not None
    samples = [s for s in data.split("test").samples if s.label is not None]
    good = [s for s in samples if s.is_good][:tests]
    bad = [s for s in samples if not s.is_good][:tests]
    evaluator = Evaluator(calibration=detector.calibration)
    found = {"good": 0, "bad": 0}
    branches: dict[str, list[float]] = {}
    started = time.perf_counter()
    judged = detector.judge_samples([*good, *bad], calibration=detector.calibration)
    for sample, prediction in judged:
        evaluator.add(sample, prediction)
        for name, branch in prediction.branches.items():
            branches.setdefault(name, []).append(branch.score)
        found["good" if sample.is_good else "bad"] += prediction.verdict == "defect"
    seconds = time.perf_counter() - started
    metrics = evaluator.compute().mean
    check = check_promise(
        detector.calibration.limits(data.products[0]), good=len(good), alarms=found["good"]
    )
    planted = {
        diameter: float(
            np.mean([p.verdict == "defect" for p in detector.predict(spots(good, diameter))])
        )
        for diameter in (SPOTS if spotted else ())
    }
    return {
        "input": preprocessing.to_json(),
        "calibrated_on": detector.calibration.n,
        "image_auroc": metrics["image_auroc"],
        "branch_auroc": {
            name: auroc(scores, [0] * len(good) + [1] * len(bad))
            for name, scores in branches.items()
        },
        "pixel_aupro": metrics["pixel_aupro"],
        "good_stopped": found["good"] / len(good),
        "promise_kept": check.kept,
        "defects_found": found["bad"] / max(1, len(bad)),
        "spots_found": planted,
        "ms_per_picture": 1e3 * seconds / (len(good) + len(bad)),
        "runtime": "torch" if models is None else "onnxruntime",
        "training_seconds": training_seconds,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, in percent, the mean over seeds."""
    heads = ["image AUROC", "AUPRO", "good stopped", "defects found"]
    heads += [f"{spot} px" for spot in SPOTS] + ["ms"]
    lines = [f"| picture | seen | {' | '.join(heads)} |", "|---|---|" + "---:|" * len(heads)]
    for name, way in dict.fromkeys((row["data"], row["way"]) for row in rows):
        own = [row for row in rows if (row["data"], row["way"]) == (name, way)]
        values = [
            100 * np.mean([row[key] for row in own])
            for key in ("image_auroc", "pixel_aupro", "good_stopped", "defects_found")
        ]
        spotted = [row["spots_found"] for row in own if row["spots_found"]]
        found = [f"{100 * np.mean([own[s] for own in spotted]):.1f}" for s in SPOTS if spotted]
        ms = np.mean([row["ms_per_picture"] for row in own])
        figures = [f"{value:.1f}" for value in values] + (found or ["–"] * len(SPOTS))
        figures.append(f"{ms:.0f}")
        lines.append(f"| {name} | {way} | {' | '.join(figures)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--ways", default="squeezed;default;tiled")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tests", type=int, default=1000, help="of good and of defective ones")
    parser.add_argument("--models", type=Path, help="folder of trained models")
    parser.add_argument("--spots", type=int, default=1, help="seeds with which spots are planted")
    parser.add_argument("--cache", type=Path, help="folder of the teacher's features")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for root in given.data:
        data = read_data_set(root)
        for way in given.ways.split(";"):
            for seed in given.seeds:
                row = measure(
                    data,
                    way,
                    seed,
                    given.tests,
                    given.models,
                    spotted=seed in given.seeds[: given.spots],
                    cache=given.cache,
                )
                rows.append({"data": root.name, "way": way, "seed": seed, **row})
                print(rows[-1], flush=True)
                content = {
                    "command": "python benchmarks/large_pictures.py RESULT "
                    f"{' '.join(p.name for p in given.data)} --ways {given.ways!r}"
                    + (" --models MODELS" if given.models else ""),
                    "rows": rows,
                }
                write_result(given.result, content)
    print(table(rows))


if __name__ == "__main__":
    main()
