"""What AnoMem from scratch owes to each of its choices: within Fashion-MNIST's training split.

    python benchmarks/choose_anomem.py FASHION_MNIST_DIR benchmarks/results/anomem-choice.json

No test picture is touched, and no class that is measured: 4,800 pullovers train and 1,000 others
stand for the good ones, the last 120 training pictures of every other class for the anomalies.
Variants that the result file holds already are not repeated; names behind it choose some of them.
"""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.data.layouts import read_data_set
from blemish.metrics import auroc

PRODUCT = "pullover"
CHOSEN: dict[str, Any] = {"encoder": "scratch", "steps": 160, "distance_steps": 300}
#: Each variant changes one thing of what was chosen.
VARIANTS: dict[str, dict[str, Any]] = {
    "chosen": {},
    "memory=no": {"memory": False},
    "mirror=yes": {"mirror": True},
    "usual=no": {"usual": False},
    "synthetic=no": {"synthetic": False},
    "variance_weight=0": {"variance_weight": 0.0},
    "scale_weights=0,0,1": {"scale_weights": (0.0, 0.0, 1.0)},
    "scale_weights=1,2,4": {"scale_weights": (1.0, 2.0, 4.0)},
}


def main(data: str, result: str, *only: str) -> None:
    samples = read_data_set(data).split("train").samples
    pictures = {
        name: np.stack([s.image for s in samples if s.product == name and s.image is not None])
        for name in sorted({sample.product for sample in samples})
    }
    good = pictures.pop(PRODUCT)
    other = np.concatenate([rows[-120:] for rows in pictures.values()])
    tested = np.concatenate([good[4800:5800], other])
    labels = np.repeat([0, 1], [1000, len(other)])
    file = Path(result)
    rows: dict[str, float] = json.loads(file.read_text())["auroc"] if file.is_file() else {}
    for name, changed in VARIANTS.items():
        if name in rows or (only and name not in only):
            continue
        detector = Detector("anomem", image_size=32, settings=CHOSEN | changed)
        detector.fit(
            good[:4800],
            hold_out_share=0.0,
            training=TrainingOptions(seed=0, device="cpu"),
            progress=Progress(quiet=True),
        )
        scores = [p.score for p in detector.predict(tested, batch_size=64)]
        rows[name] = round(100 * auroc(np.array(scores), labels), 2)
        print(name, rows[name], flush=True)
        write_result(
            result,
            {
                "command": "python benchmarks/choose_anomem.py FASHION_MNIST_DIR " + file.name,
                "date": str(date.today()),
                "good": PRODUCT,
                "settings": CHOSEN,
                "auroc": rows,
            },
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
