"""Does the drift alarm stay silent, and ring when the light or the focus changes?

    python benchmarks/check_drift.py RESULT.json DATA [DATA …] --side 256

Of each product with at least 150 good training images sixty are learned; the others are scored as
they are, five per cent brighter, and blurred by one pixel. A week is a thousand parts, each of
which has the score of one of these pictures, drawn by chance: so many pictures there are not, and
what one chance draws again and again is exchangeable, as the guarantee asks. The first hundred
stand for how it was. Counted are the weeks in which the alarm rings though nothing changes, and,
where all parts behind the first hundred are changed, the parts until it rings: by the score alone,
and by score, brightness, sharpness and colour together, as a server watches them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from blemish import Detector
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.calibration.drift import DriftWatch
from blemish.data.images.appearance import appearance
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet, Sample

RATE, FIRST, PARTS = 0.05, 100, 1000
#: Many where a small share is counted, fewer where nearly all ring.
WEEKS = {"as it is": 1000, "brighter": 100, "blurred": 100}
Parts = list[dict[str, float]]


def brighter(image: Image.Image) -> Image.Image:
    return image.point(lambda value: min(255, round(1.05 * value)))


def blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(1))


def rings(before: Parts, after: Parts, limit: float, seed: int) -> int | None:
    watch = DriftWatch(before, limit, seed=10 * seed)
    for number, part in enumerate(after, 1):
        watch.add(part)
        if watch.rings(RATE):
            return number
    return None


def summary(times: list[int | None]) -> dict[str, Any]:
    rung = [time for time in times if time is not None]
    return {
        "weeks": len(times),
        "rang": len(rung),
        "median_parts": float(np.median(rung)) if rung else None,
        "ninth_decile": float(np.quantile(rung, 0.9)) if rung else None,
        "at_most": max(rung, default=None),
    }


def check_product(good: list[Sample], side: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    order = [good[at] for at in rng.permutation(len(good))]
    learned = DataSet("folder", order[0].path.parent, tuple(order[:60]))
    detector = Detector(image_size=side).fit(learned, progress=Progress(quiet=True))
    assert detector.calibration is not None
    limit = detector.calibration.limits(None).defect
    parts: dict[str, Parts] = {}
    for name, change in {"as it is": None, "brighter": brighter, "blurred": blurred}.items():
        pictures = (Image.open(s.path).convert("RGB") for s in order[60:])
        arrays = [np.asarray(change(p) if change else p) for p in pictures]
        found = detector.predict(arrays)
        parts[name] = [
            {"score": p.score, **appearance(array)._asdict()}
            for p, array in zip(found, arrays, strict=True)
        ]
    result: dict[str, Any] = {"learned": 60, "scored": len(order) - 60, "limit": limit}
    for name, changed in parts.items():
        times: dict[str, list[int | None]] = {"score": [], "together": []}
        for week in range(WEEKS[name]):
            drawn = [parts["as it is"][at] for at in rng.integers(len(changed), size=FIRST)]
            then = [changed[at] for at in rng.integers(len(changed), size=PARTS - FIRST)]
            times["together"].append(rings(drawn, then, limit, week))
            before, after = ([{"score": p["score"]} for p in some] for some in (drawn, then))
            times["score"].append(rings(before, after, limit, week))
        means = {key: float(np.mean([p[key] for p in changed])) for key in changed[0]}
        result[name] = {"means": means, **{how: summary(t) for how, t in times.items()}}
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
