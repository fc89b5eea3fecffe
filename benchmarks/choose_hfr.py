"""Which settings HFR gets on small pictures: chosen within Fashion-MNIST's training split.

    python benchmarks/choose_hfr.py FASHION_MNIST_DIR benchmarks/results/hfr-choice.json

No test picture is touched. Of each listed class 3,000 training pictures train and 500 others stand
for the good ones; 100 training pictures of every other class stand for the anomalies. The test
split is measured with `blemish benchmark` once the choice is made.
"""

from __future__ import annotations

import sys
from datetime import date
from typing import Any

import numpy as np

from blemish import Detector
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.data.layouts import read_data_set
from blemish.metrics import auroc

CLASSES = ("tshirt_top", "pullover", "coat", "shirt", "bag")
SEED = 0
CHOSEN: dict[str, Any] = {"steps": 100, "bottleneck": 16}
#: Each variant changes one thing of what was chosen.
VARIANTS: dict[str, dict[str, Any]] = {
    "chosen": {},
    "64 pixels": {"size": 64},
    "steps=25": {"steps": 25},
    "steps=400": {"steps": 400},
    "steps=1600": {"steps": 1600},
    "bottleneck=8": {"bottleneck": 8},
    "bottleneck=64": {"bottleneck": 64},
    "bottleneck=192": {"bottleneck": 192},
    "levels=1": {"levels": 1},
    "levels=2": {"levels": 2},
    "loss=mse": {"loss": "mse"},
    "fusion=product": {"fusion": "product"},
    "score=max": {"score": "max"},
    "balance=no": {"balance": False},
    "standardise=yes": {"standardise": True},
}


def measure(name: str, train: np.ndarray, good: np.ndarray, other: np.ndarray) -> float:
    """Image AUROC in percent of one variant on one class; pictures ``(N, 28, 28, 3)``."""
    settings = CHOSEN | VARIANTS[name]
    size = settings.pop("size", 32)
    detector = Detector("hfr", image_size=size, settings=settings)
    detector.fit(train, hold_out_share=0.0, seed=SEED, progress=Progress(quiet=True))
    scores = [p.score for p in detector.predict(np.concatenate([good, other]), batch_size=64)]
    labels = np.repeat([0, 1], [len(good), len(other)])
    return round(100 * auroc(np.array(scores), labels), 2)


def main(data: str, result: str) -> None:
    train = read_data_set(data).split("train").samples
    names = sorted({sample.product for sample in train})
    rng = np.random.default_rng(SEED)
    shuffled = {}
    for name in names:
        pictures = np.stack([s.image for s in train if s.product == name and s.image is not None])
        shuffled[name] = pictures[rng.permutation(len(pictures))]
    rows = {}
    for variant in VARIANTS:
        figures = {}
        for name in CLASSES:
            others = np.concatenate([shuffled[n][:100] for n in names if n != name])
            mine = shuffled[name]
            figures[name] = measure(variant, mine[:3000], mine[3000:3500], others)
        rows[variant] = figures | {"mean": round(float(np.mean(list(figures.values()))), 2)}
        print(variant, rows[variant], flush=True)
    content = {
        "command": "python benchmarks/choose_hfr.py fashion-mnist hfr-choice.json",
        "data": "Fashion-MNIST, training split only",
        "seed": SEED,
        "date": date.today().isoformat(),
        "size": 32,
        "chosen": CHOSEN,
        "image_auroc": rows,
    }
    write_result(result, content)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
