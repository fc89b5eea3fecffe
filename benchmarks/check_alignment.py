"""Parts turned and shifted: image AUROC as they lie, moved, and moved with alignment.

    python benchmarks/check_alignment.py RESULT.json DATA [--method trio] [--train 150] [--test 120]

DATA is a folder of one product, in MVTec's layout. Two models are fitted on the same good pictures
as they lie, without and with alignment, and judge the test pictures twice: as they are, and each
turned by +5° or −5° and shifted by 5 % of the sides, the signs drawn by chance. What then comes in
from outside is the picture's mirror image. Also: AUPRO, the share of good pictures stopped at 5 %,
how many cannot be aligned, and the time of a picture.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from blemish import Detector, TrainingOptions
from blemish._files import atomic_write
from blemish.benchmark.environment import environment
from blemish.data.images.reading import read_image, read_mask
from blemish.data.images.registration import turning
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet, Sample
from blemish.metrics import auroc
from blemish.metrics.pixel import PixelAccumulator

RATE = 0.05
TURN, SHIFT = 5.0, 0.05

Pixels = NDArray[np.uint8]


def moved(picture: Pixels, mask: NDArray[np.bool_], number: int) -> tuple[Pixels, Any]:
    """A picture and its mask, turned and shifted; the number draws which way."""
    angle, right, down = np.random.default_rng([5, number]).choice([-1, 1], 3)
    size = (picture.shape[0], picture.shape[1])
    matrix = turning(TURN * angle, SHIFT * right, SHIFT * down, size)
    border = cv2.BORDER_REFLECT_101
    turned = cv2.warpAffine(picture, matrix, size[::-1], flags=cv2.INTER_CUBIC, borderMode=border)
    inside = cv2.warpAffine(mask.astype(np.uint8), matrix, size[::-1], flags=cv2.INTER_NEAREST)
    return np.asarray(turned, np.uint8), inside > 0


def truth(sample: Sample, size: tuple[int, int]) -> NDArray[np.bool_]:
    union = np.zeros(size, np.bool_)
    for path in sample.mask_paths:
        union |= read_mask(path, expected_size=size) > 0
    return union


def judged(detector: Detector, samples: list[Sample], *, move: bool) -> dict[str, Any]:
    scores, stopped, unaligned = [], 0, {"good": 0, "defective": 0}
    pixels, masked = PixelAccumulator(), any(sample.mask_paths for sample in samples)
    seconds = 0.0
    for number, sample in enumerate(samples):
        picture = read_image(sample.path)
        mask = truth(sample, picture.shape[:2])
        if move:
            picture, mask = moved(picture, mask, number)
        started = time.perf_counter()
        found = detector.inspect(replace(sample, image=picture))
        seconds += time.perf_counter() - started
        scores.append(found.score)
        stopped += sample.is_good and found.verdict == "defect"
        if found.pose is not None and found.pose.fault:
            unaligned["good" if sample.is_good else "defective"] += 1
        if masked and (sample.is_good or mask.any()):
            pixels.add(found.anomaly_map, mask, roi=found.roi)
    labels = np.array([not sample.is_good for sample in samples])
    return {
        "image_auroc": auroc(np.array(scores), labels),
        "pixel_aupro": pixels.compute().get("pixel_aupro") if masked else None,
        "good_stopped": stopped / int((~labels).sum()),
        "unaligned": unaligned,
        "ms": 1000 * seconds / len(samples),
    }


def some(samples: list[Sample], most: int) -> list[Sample]:
    return samples[:: max(1, -(-len(samples) // most))]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("result", type=Path)
    words.add_argument("data", type=Path)
    words.add_argument("--method", default="trio")
    words.add_argument("--speed", default="fast")
    words.add_argument("--train", type=int, default=150)
    words.add_argument("--test", type=int, default=120)
    words.add_argument("--seed", type=int, default=0)
    asked = words.parse_args()
    data = read_data_set(asked.data)
    good = some([s for s in data.split("train").samples if s.is_good], asked.train)
    test = [s for s in data.split("test").samples if s.label is not None]
    half = asked.test // 2
    test = some([s for s in test if s.is_good], half) + some([s for s in test if s.label], half)
    rows = []
    for align in (False, True):
        speed = {"speed": asked.speed} if asked.method == "trio" else {}
        detector = Detector(asked.method, **speed).fit(
            DataSet(data.layout, data.root, tuple(good)),
            align=align,
            false_alarm_rate=RATE,
            training=TrainingOptions(seed=asked.seed, device="cpu"),
        )
        for move in (False, True):
            row = {"align": align, "moved": move, **judged(detector, test, move=move)}
            print(row, flush=True)
            rows.append(row)
    found = {
        "data": "/".join(asked.data.parts[-2:]),
        **{name: getattr(asked, name) for name in ("method", "speed", "seed")},
        "train": len(good),
        "test": len(test),
        "rows": rows,
        "environment": environment(),
    }
    with atomic_write(asked.result) as file:
        file.write(json.dumps(found, indent=1).encode())


if __name__ == "__main__":
    main()
