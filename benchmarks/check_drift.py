"""Does the drift alarm stay silent, and ring when the light or the focus changes?

    python benchmarks/check_drift.py RESULT.json DATA [DATA …] --side 256

Of each product with at least 150 good training images sixty are learned; the others are scored as
they are, five per cent brighter, and blurred by one pixel. A week is a thousand parts, each of
which has the score of one of these pictures, drawn by chance: so many pictures there are not, and
what one chance draws again and again is exchangeable, as the guarantee asks. The first hundred
stand for how it was. Counted are the weeks in which the alarm rings though nothing changes, and,
where all parts behind the first hundred are changed, the parts until it rings.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from blemish import Detector
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.calibration.drift import DriftMartingale
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet, Sample

RATE, FIRST, WEEKS, PARTS = 0.05, 100, 100, 1000
Scores = NDArray[np.float64]


def brighter(image: Image.Image) -> Image.Image:
    return image.point(lambda value: min(255, round(1.05 * value)))


def blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(1))


def rings(before: Scores, after: Scores, limit: float, seed: int) -> int | None:
    watch = DriftMartingale(before, limit, seed=seed)
    for number, score in enumerate(after, 1):
        watch.add(score)
        if watch.rings(RATE):
            return number
    return None


def check_product(good: list[Sample], side: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    order = [good[at] for at in rng.permutation(len(good))]
    learned = DataSet("folder", order[0].path.parent, tuple(order[:60]))
    detector = Detector(image_size=side).fit(learned, progress=Progress(quiet=True))
    assert detector.calibration is not None
    limit = detector.calibration.limits(None).defect
    scores: dict[str, Scores] = {}
    for name, change in {"as it is": None, "brighter": brighter, "blurred": blurred}.items():
        pictures = (Image.open(s.path).convert("RGB") for s in order[60:])
        arrays = [np.asarray(change(p) if change else p) for p in pictures]
        scores[name] = np.array([p.score for p in detector.predict(arrays)])
    result: dict[str, Any] = {"learned": 60, "scored": len(order) - 60, "limit": limit}
    for name, changed in scores.items():
        times = []
        for week in range(WEEKS):
            before = rng.choice(scores["as it is"], FIRST)
            after = rng.choice(changed, PARTS - FIRST)
            times.append(rings(before, after, limit, week))
        rung = [time for time in times if time is not None]
        result[name] = {
            "weeks": WEEKS,
            "rang": len(rung),
            "median_parts": float(np.median(rung)) if rung else None,
            "ninth_decile": float(np.quantile(rung, 0.9)) if rung else None,
            "at_most": max(rung, default=None),
            "mean_score": float(changed.mean()),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--side", type=int, default=256)
    given = parser.parse_args()
    products: dict[str, Any] = {}
    for root in given.data:
        data = read_data_set(root)
        for product in data.products:
            samples = data.of_products([product]).samples
            good = [s for s in samples if s.is_good and s.split == "train"]
            if len(good) >= 150:
                products[product] = check_product(good, given.side)
                print(product, products[product], flush=True)
    content = {
        "command": f"python benchmarks/check_drift.py RESULT DATA … --side {given.side}",
        "data": [Path(root).name for root in given.data],
        "seed": 0,
        "false_alarm_rate": RATE,
        "first": FIRST,
        "parts_a_week": PARTS,
        "products": products,
    }
    write_result(given.result, content)


if __name__ == "__main__":
    main()
