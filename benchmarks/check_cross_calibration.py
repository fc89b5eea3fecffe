"""Do out-of-fold limits keep their promise? Realised false alarms of the trio over random splits.

    python benchmarks/check_cross_calibration.py RESULT.json DATA [DATA …] --side 256 --splits 10

The good training images of each product, up to 300, are split at random again and again: 60 % of
them are what a user has, the others are new good parts. Limits come from the 60 % in two ways:
*cross*, all of them fit and all calibrate out of fold, as `blemish fit` does; *split*, a fifth of
them is held out to calibrate and the rest fits. Counted are the new good parts called defective at
5 %, the defects of the test images found by the same limits, and how many the best threshold finds
that stops no more of the new good parts: what is between them, calibration wastes. Products of
fewer than 60 good images are left out: 5 % then has no limit of its own.
"""

from __future__ import annotations

import argparse
from itertools import product as product_of
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import beta
from torch import Tensor

from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.calibration.conformal import limit_at
from blemish.data.images.preprocess import Preprocessing, choose_input_size
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet, Sample
from blemish.data.sources import load_input
from blemish.methods.base import Batch
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.model import Trio
from blemish.metrics.power import Power, power
from blemish.teachers.teacher import Teacher, build_teacher

MOST, FEWEST, RATE = 300, 60, 0.05
Levels = list[Tensor]


def features(teacher: Teacher, samples: list[Sample], prepare: Preprocessing) -> Levels:
    """The teacher's levels of all samples, float16."""
    found: list[Levels] = []
    for start in range(0, len(samples), 8):
        images = [np.asarray(load_input(s, prepare)[0]) for s in samples[start : start + 8]]
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        found.append([level.half() for level in teacher(pixels)])
    return [torch.cat(level) for level in zip(*found, strict=True)]


def fitted(teacher: Teacher, size: tuple[int, int], levels: Levels, rows: Tensor) -> Trio:
    torch.manual_seed(0)
    method = Trio(TrioConfig(groups=1), teacher, size).eval()
    method.fit_statistics(
        [Batch(features=tuple(f[part].float() for f in levels)) for part in rows.split(16)]
    )
    return method


def scored(method: Trio, levels: Levels, rows: Tensor) -> NDArray[np.float64]:
    parts = [method.measure([f[part].float() for f in levels]).score for part in rows.split(16)]
    return torch.cat(parts).double().numpy()


def limit(good: NDArray[np.float64]) -> float:
    """The limit that good scores set; the largest where they are too few."""
    return limit_at(RATE, np.sort(good).tolist())


def check_product(data: DataSet, teacher: Teacher, side: int, splits: int) -> dict[str, Any] | None:
    good = [s for s in data.samples if s.is_good and s.split in ("train", "validation")]
    if len(good) < FEWEST:
        return None
    rng = np.random.default_rng(0)
    good = [good[at] for at in sorted(rng.permutation(len(good))[:MOST])]
    defects = [s for s in data.split("test").samples if s.label == 1]
    sizes = [load_input(s, Preprocessing(32, 32))[1] for s in good[:20]]
    prepare = Preprocessing(*choose_input_size(sizes, side=side))
    levels, bad = (features(teacher, some, prepare) for some in (good, defects))
    counts: dict[str, list[Power]] = {"cross": [], "split": []}
    for _ in range(splits):
        order = torch.from_numpy(rng.permutation(len(good)))
        have, new = order[: len(good) * 6 // 10], order[len(good) * 6 // 10 :]
        held = have[: len(have) // 5]
        for way, row in counts.items():
            learned = have if way == "cross" else have[len(held) :]
            method = fitted(teacher, prepare.size, levels, learned)
            own = method.out_of_fold()
            assert own is not None
            crossed = own.score.double().numpy()
            line = limit(crossed if way == "cross" else scored(method, levels, held))
            parts = scored(method, levels, new), scored(method, bad, torch.arange(len(defects)))
            scores, defective = np.concatenate(parts), np.repeat((False, True), [*map(len, parts)])
            row.append(power(scores, defective, limits=line))
    result: dict[str, Any] = {"have": len(good) * 6 // 10}
    for way, row in counts.items():
        k, new_parts = sum(p.stopped for p in row), sum(p.good for p in row)
        result["new"] = new_parts
        result[way] = {
            "stopped": k / new_parts,
            # Clopper and Pearson's interval; splits share pictures, so that it is a little narrow.
            "interval_95": [
                float(beta.ppf(0.025, k, new_parts - k + 1)) if k else 0.0,
                float(beta.ppf(0.975, k + 1, new_parts - k)),
            ],
            "worst_split": max(p.stopped / p.good for p in row),
            "found": sum(p.found for p in row) / sum(p.defective for p in row),
            "offered": sum(p.offered for p in row) / sum(p.defective for p in row),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--splits", type=int, default=10)
    given = parser.parse_args()
    teacher, progress = build_teacher(), Progress()
    products: dict[str, Any] = {}
    content = {
        "command": "python benchmarks/check_cross_calibration.py RESULT DATA … "
        f"--side {given.side} --splits {given.splits}",
        "data": [Path(root).name for root in given.data],
        "rate": RATE,
        "seed": 0,
        "products": products,
    }
    with torch.inference_mode():
        for root in given.data:
            data = read_data_set(root)
            for product in progress.track(data.products, Path(root).name, len(data.products)):
                chosen = data.of_products([product])
                found = check_product(chosen, teacher, given.side, given.splits)
                if found is not None:
                    products[product] = found
                    write_result(given.result, content)  # what is known is kept
    print("| product | good images | cross: stopped | found | ROC | split: stopped | found | ROC |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, row in products.items():
        columns = product_of(("cross", "split"), ("stopped", "found", "offered"))
        figures = [row[way][what] for way, what in columns]
        cells = [f"{100 * figure:.1f}" for figure in figures]
        print(f"| {name} | {row['have']} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
