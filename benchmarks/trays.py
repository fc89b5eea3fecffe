"""Several parts to a picture, one of them defective: what does a second, close look bring?

    python benchmarks/trays.py RESULT.json DATA [DATA …] --products pill,cookie

Of every product's real pictures trays are made, four of its parts side by side as they lie, each of
320² pixels: real defects of half the size in pictures of 640². A trio learns the trays of good
parts, of which no part is in a test tray, as each way says; limits for 5 and 1 % come from them. A
test tray has one defective part, or none. Beside it the time of a picture, from the file to the
verdict, in PyTorch.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blemish import Detector
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet, Sample
from blemish.metrics import auroc

SIDE, ROW = 320, 2
PARTS = ROW * ROW
MOST, FEWEST_GOOD, MOST_BAD = 80, 20, 120
TRAINS = 0.6  # share of the good parts
WAYS: dict[str, dict[str, Any]] = {
    "default": {},
    "two looks": {"coarse": True},
    "640": {"image_size": 640},
    "two scales": {"tile": "auto", "coarse": True},
}


def tray(parts: Sequence[Sample]) -> Image.Image:
    picture = Image.new("RGB", (ROW * SIDE, ROW * SIDE))
    for k, part in enumerate(parts):
        image = Image.open(part.path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        picture.paste(image, (k % ROW * SIDE, k // ROW * SIDE))
    return picture


def trays(own: DataSet, folder: Path) -> None:
    """Folders ``train``, ``good`` and ``bad`` of a product's trays."""
    rng = np.random.default_rng(0)
    good = [s for s in own.samples if s.is_good]
    bad = [s for s in own.samples if s.label]
    good = [good[k] for k in rng.permutation(len(good))]
    trains = min(int(TRAINS * len(good)) // PARTS, MOST) * PARTS
    tests = good[trains : trains + 200]

    def drawn(count: int) -> list[Sample]:
        return [tests[k] for k in rng.permutation(len(tests))[:count]]

    together = {
        "train": [good[k : k + PARTS] for k in range(0, trains, PARTS)],
        "good": [drawn(PARTS) for _ in range(max(len(tests) // PARTS, FEWEST_GOOD))],
        "bad": [
            [([bad[k], *drawn(PARTS - 1)])[n] for n in rng.permutation(PARTS)]
            for k in sorted(rng.permutation(len(bad))[:MOST_BAD])
        ],
    }
    for name, pictures in together.items():
        (folder / name).mkdir(parents=True)
        for k, parts in enumerate(pictures):
            tray(parts).save(folder / name / f"{k:03d}.png")


def measured(folder: Path, way: dict[str, Any]) -> dict[str, Any]:
    detector = Detector("trio", settings={"groups": 1}, **way)
    detector.fit([*sorted((folder / "train").iterdir())], false_alarm_rate=0.01, **QUIET)
    assert detector.fit_report is not None
    assert detector.calibration is not None
    found: dict[str, Any] = {"fit_s": round(detector.fit_report.seconds, 1)}
    started = time.monotonic()
    of = {kind: list(detector.predict(folder / kind)) for kind in ("good", "bad")}
    count = sum(map(len, of.values()))
    found["ms"] = round(1e3 * (time.monotonic() - started) / count)
    scores = {kind: np.array([p.score for p in own]) for kind, own in of.items()}
    labels = np.repeat([0, 1], [len(scores["good"]), len(scores["bad"])])
    found["image_auroc"] = auroc(np.concatenate([scores["good"], scores["bad"]]), labels)
    for rate in (0.05, 0.01):
        own = detector.calibration.at(false_alarm_rate=rate)
        limit = own.limits_of(own.groups[0]).defect
        for kind, name in (("bad", "found"), ("good", "stopped")):
            found[f"{name}_at_{rate:g}"] = float((scores[kind] > limit).mean())
    return found


QUIET: dict[str, Any] = {"progress": Progress(quiet=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--products", required=True)
    options = parser.parse_args()
    asked = options.products.split(",")
    rows: list[dict[str, Any]] = []
    for root in options.data:
        data = read_data_set(root)
        for product in [name for name in data.products if name in asked]:
            with tempfile.TemporaryDirectory() as name:
                trays(data.of_products([product]), Path(name))
                trained = len(list((Path(name) / "train").iterdir()))
                for way, words in WAYS.items():
                    row = {"product": product, "trays": trained, "way": way}
                    rows.append(row | measured(Path(name), words))
                    print(rows[-1], flush=True)
    command = f"python benchmarks/trays.py RESULT DATA … --products {options.products}"
    write_result(options.result, {"command": command, "seed": 0, "rows": rows})


if __name__ == "__main__":
    main()
