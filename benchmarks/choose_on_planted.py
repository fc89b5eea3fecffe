"""Which settings are better, told from anomalies planted into good images that training never saw.

    python benchmarks/choose_on_planted.py DATA RESULT.json --steps 400 --seeds 0,1 rd rd:focus=0 \\
        borad:spatial_weight=0,global_weight=0

A variant is a method and, after a colon, settings with commas (numbers of one setting with +, as in
student_blocks=1+1+1). For each seed 30 % of the good training images of every product of DATA are
held out and one model learns from the rest. Every kind of anomaly is planted into up to 20 held-out
images of each product, and the figures are the product's: image AUROC, the mean over kinds, and the
pixel metrics over all of them. No test image is opened. Variants that RESULT.json holds already are
not trained again, so that a search grows in one file; the table of it goes to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.data.layouts import read_data_set
from blemish.data.planted import KINDS, plant_anomaly
from blemish.data.sample import Sample, hold_out
from blemish.data.sources import good_training_samples, load_input
from blemish.errors import BlemishError
from blemish.methods.registry import method_class
from blemish.methods.settings import TrainedConfig
from blemish.metrics import PixelAccumulator, auroc

SHARE, MOST = 0.3, 20
PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "pixel_aupro")


def parse_variant(text: str) -> tuple[str, dict[str, str]]:
    """``rd:focus=0,student_blocks=1+1+1`` → the method and its settings as text."""
    method, _, settings = text.partition(":")
    pairs = dict(setting.split("=", 1) for setting in settings.split(",") if setting)
    return method, {name: value.replace("+", ",") for name, value in pairs.items()}


def measure(
    data: str, variant: str, *, steps: int, seed: int, size: int, cache: Path | None
) -> dict[str, Any]:
    """Train one variant and score held-out good images with and without a planted anomaly."""
    method, settings = parse_variant(variant)
    if issubclass(method_class(method).config_class, TrainedConfig):
        settings = {"steps": str(steps), **settings}
    detector = Detector(method, image_size=size, settings=settings)
    quiet = Progress(quiet=True)
    started = time.monotonic()
    training = TrainingOptions(seed=seed, cache_dir=cache)
    detector.fit(data, hold_out_share=SHARE, training=training, progress=quiet)
    seconds = time.monotonic() - started
    assert detector.preprocessing is not None
    # The draw is that of the training: the same function, share and seed.
    _, held = hold_out(_good(data), SHARE, seed)
    products: dict[str, dict[str, float]] = {}
    for product in dict.fromkeys(sample.product for sample in held):
        own = [sample for sample in held if sample.product == product][:MOST]
        pictures = [np.asarray(load_input(sample, detector.preprocessing)[0]) for sample in own]
        rng = np.random.default_rng([seed, len(products)])
        products[product] = _figures(detector, pictures, rng)
    names = ("image_auroc", *PIXEL_METRICS)
    mean = {name: float(np.mean([p[name] for p in products.values()])) for name in names}
    return {
        "variant": variant,
        "seed": seed,
        "steps": steps,
        "size": size,
        "fit_s": round(seconds, 1),
        "mean": mean,
        "products": products,
    }


def _good(data: str) -> list[Sample]:
    data_set = read_data_set(data)
    if any(sample.is_good for sample in data_set.split("validation").samples):
        # Those would calibrate, nothing be held out, and the draw below name images that trained.
        sys.exit(f"{data} has validation images; this is for data sets without.")
    return good_training_samples(data_set, [])[0]


def _figures(
    detector: Detector, pictures: list[np.ndarray], rng: np.random.Generator
) -> dict[str, float]:
    """One product's figures: image AUROC by kind and over kinds, pixel metrics over all kinds."""
    pixels = PixelAccumulator()

    def score(images: Iterable[np.ndarray], masks: Iterable[np.ndarray | None]) -> list[float]:
        found = []
        for prediction, mask in zip(detector.predict(np.stack([*images])), masks, strict=True):
            pixels.add(prediction.anomaly_map, mask)
            found.append(prediction.score)
        return found

    good = score(pictures, [None] * len(pictures))
    figures = {}
    for kind in KINDS:
        planted, masks = zip(*(plant_anomaly(p, rng, kind=kind) for p in pictures), strict=True)
        bad = score(planted, masks)
        figures[kind] = auroc(np.array(good + bad), np.repeat([0, 1], len(good)))
    image = float(np.mean(list(figures.values())))
    return {"image_auroc": image, **figures, **pixels.compute()}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line per variant and training length, the mean over seeds in percent."""
    lines = [
        "| variant | steps | seeds | image AUROC | pixel AUROC | pixel AP | AUPRO |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for variant, steps in dict.fromkeys((row["variant"], row["steps"]) for row in rows):
        own = [row for row in rows if (row["variant"], row["steps"]) == (variant, steps)]
        seeds = ", ".join(str(row["seed"]) for row in own)
        values = [
            f"{100 * np.mean([row['mean'][name] for row in own]):.1f}"
            for name in ("image_auroc", *PIXEL_METRICS)
        ]
        lines.append(f"| `{variant}` | {steps} | {seeds} | {' | '.join(values)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("result", type=Path)
    parser.add_argument("variants", nargs="*")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--cache-dir", type=Path, default=None)
    given = parser.parse_intermixed_args()  # variants may follow the options
    file: Path = given.result
    rows = json.loads(file.read_text())["rows"] if file.is_file() else []
    for seed in map(int, given.seeds.split(",")):
        for variant in given.variants:
            key = (variant, seed, given.steps, given.size)
            if any((r["variant"], r["seed"], r["steps"], r["size"]) == key for r in rows):
                continue
            options = {"steps": given.steps, "seed": seed, "size": given.size}
            try:
                rows.append(measure(given.data, variant, **options, cache=given.cache_dir))
            except BlemishError as error:
                sys.exit(f"{variant}: {error}")
            content = {
                "command": "python benchmarks/choose_on_planted.py DATA RESULT --steps STEPS "
                "--seeds SEED VARIANT, as in each row",
                "data": Path(given.data).name,
                "held_out_share": SHARE,
                "rows": rows,
            }
            write_result(file, content)
            print(json.dumps({k: v for k, v in rows[-1].items() if k != "products"}), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
