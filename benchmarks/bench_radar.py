"""RADAR against reconstruction with the same trained U-Net, and what its settings change.

    python -c "from pathlib import Path; from blemish.demo_line import write_demo_line as w; \
w(Path('line'), products=['metal', 'fabric'], size=128)"
    python benchmarks/bench_radar.py line/metal RESULTS --size 128 --set steps=300
    python benchmarks/bench_radar.py line/metal RESULTS --size 128 --set steps=300 --sensitivity
    python benchmarks/bench_radar.py DATA RESULTS --products pill --timesteps 50,150,300,450

Trains once (the model file is kept beside the result and used again), then judges the test images
in both modes: each mode fits its forest on the same held-out good images and its limits on the same
calibration images. Times are CPU seconds of this process on one thread, so that other work on the
machine does not count. ``--timesteps`` judges the same network at each of them, beside its own
choice. ``--sensitivity`` measures the choice of t* and of the forest's contamination on planted
anomalies in the calibration images, never on test images. Every part is written as soon as it is
done; parts already in the result are not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from blemish import Detector, TrainingOptions
from blemish.benchmark.result_file import write_result
from blemish.data.planted import KINDS, plant_anomaly
from blemish.data.sample import hold_out
from blemish.data.sources import good_training_samples, load_input, training_data
from blemish.evaluation.evaluator import Evaluation
from blemish.methods.base import Batch
from blemish.methods.radar.model import RADAR
from blemish.metrics import auroc, confusion, f1_max
from blemish.training.batches import ImageBatches

RATE = 0.05
CONTAMINATIONS = (0.01, 0.05, 0.1, 0.2, 0.3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--products", default="")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--sensitivity", action="store_true")
    parser.add_argument("--timesteps", default="", metavar="T,T,…")
    parser.add_argument("--no-reconstruction", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = training_data(given.data)
    if given.products:
        data = data.of_products(given.products.split(","))
    name = "-".join(data.products) + "".join(f"-{part.replace('=', '')}" for part in given.set)
    given.results.mkdir(parents=True, exist_ok=True)
    path, model = given.results / f"{name}.json", given.results / f"{name}.blemish"
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}

    def done(part: str, value: Any) -> None:
        content[part] = value
        write_result(path, content)
        print(part, json.dumps(value), flush=True)

    if not model.is_file():
        settings = dict(part.split("=", 1) for part in given.set)
        detector, started = Detector("radar", image_size=given.size, settings=settings), cpu()
        detector.fit(data, false_alarm_rate=RATE, training=TrainingOptions(device="cpu"))
        detector.save(model)
        done("fit_cpu_seconds", round(cpu() - started, 1))
    detector = Detector.load(model)
    fast = detector.method
    assert isinstance(fast, RADAR)
    held, calibration = good_images(detector, data)
    facts = {"data": given.data.name, "products": list(data.products), "size": given.size}
    facts |= {"settings": fast.config.to_json(), "timestep": int(fast.timestep)}
    facts |= {"forest_images": len(held), "calibration_images": len(calibration)}
    facts |= {"rate": RATE, "seed": detector.training["seed"]}
    done("facts", facts)
    if "single_step" not in content:
        done("single_step", judge(detector, data))
    if given.sensitivity and "sensitivity" not in content:
        done("sensitivity", sensitivity(detector, held, calibration))
    ways = {f"t={t}": fast.at_timestep(int(t)) for t in given.timesteps.split(",") if t}
    if not given.no_reconstruction:
        ways["reconstruct"] = fast.in_mode("reconstruct")
    for way, method in ways.items():
        if way in content:
            continue
        detector.method = method
        with torch.inference_mode():
            method.fit_held_out([Batch(images=held)])
        detector.calibrate(calibration, false_alarm_rate=RATE)
        done(way, judge(detector, data))
    if "reconstruct" in content:
        pair = [content[mode]["milliseconds"] for mode in ("reconstruct", "single_step")]
        done("times_faster", round(pair[0] / pair[1], 1))


def cpu() -> float:
    return time.process_time()


def good_images(detector: Detector, data: Any) -> tuple[torch.Tensor, list[Any]]:
    """The good images ``(N, 3, H, W)`` that the forest is fitted on, and the calibration's."""
    seed, preprocessing = int(detector.training["seed"]), detector.preprocessing
    assert preprocessing is not None
    good, _ = good_training_samples(data, [])
    validation = [s for s in data.split("validation").samples if s.is_good]
    kept, calibration = (good, validation) if validation else hold_out(good, 0.2, seed)
    batches = ImageBatches(kept, preprocessing)
    _, rows = batches.set_aside(RADAR.held_out_share, seed)
    images = [batch.images for batch in batches.in_order(rows, 16)]
    return torch.cat([part for part in images if part is not None]), calibration


def judge(detector: Detector, data: Any) -> dict[str, Any]:
    """Figures on the test images, and CPU time per image, everything included."""
    started = cpu()
    result: Evaluation = detector.evaluate(data)
    seconds = cpu() - started
    rows = {}
    for product in result.products:
        counts = product.operating
        assert counts is not None
        names = ("accuracy", "precision", "recall", "f1")
        row: dict[str, Any] = {name: round(float(getattr(counts, name)), 4) for name in names}
        row |= {
            name: round(float(value), 4)
            for name, value in product.metrics.items()
            if name.startswith(("image_", "pixel_")) and not math.isnan(value)
        }
        row |= {"good": product.good, "defective": product.defective}
        row |= {"false_alarms": counts.fp, "found": counts.tp}
        row["kinds"] = {k: round(v.image_auroc, 3) for k, v in product.kinds.items()}
        rows[product.product] = row
    images = sum(p.good + p.defective for p in result.products)
    return {"products": rows, "milliseconds": round(1000 * seconds / images, 1), "images": images}


def sensitivity(detector: Detector, held: torch.Tensor, samples: list[Any]) -> dict[str, Any]:
    """Image AUROC and F1 on planted anomalies, by t* and by the forest's contamination."""
    method, preprocessing = detector.method, detector.preprocessing
    assert isinstance(method, RADAR)
    assert preprocessing is not None
    rng, chosen = np.random.default_rng(0), int(method.timestep)
    clean = [load_input(sample, preprocessing)[0] for sample in samples[:20]]
    planted = [plant_anomaly(one, rng, kind=list(KINDS)[i % 5])[0] for i, one in enumerate(clean)]
    stack = np.stack([*clean, *planted]).transpose(0, 3, 1, 2)
    images, labels = torch.from_numpy(stack), [0] * len(clean) + [1] * len(planted)
    rows: dict[str, Any] = {"images": len(labels), "timestep": {}, "contamination": {}}
    with torch.inference_mode():
        for t in sorted({*method.config.timesteps, chosen}):
            trial = method.at_timestep(t)
            trial.fit_held_out([Batch(images=held)])
            known, asked = trial.features(held), trial.features(images)
            paper = trial.forest(asked)
            scores = trial.score(asked).numpy()
            rows["timestep"][t] = {
                "auroc": round(auroc(scores, labels), 4),
                "auroc_forest_alone": round(auroc(paper.numpy(), labels), 4),
                "f1_max": round(f1_max(scores, labels).f1, 4),
            }
            if t == chosen:
                own = trial.forest(known).numpy()
                for share in CONTAMINATIONS:
                    limit = float(np.quantile(own, 1 - share))  # what scikit-learn would call odd
                    counts = confusion(paper.numpy(), labels, threshold=limit)
                    rows["contamination"][share] = {
                        "f1": round(counts.f1, 4),
                        "false_alarms": counts.fp,
                        "found": counts.tp,
                    }
    return rows


if __name__ == "__main__":
    main()
