"""Does learning on keep what was known? The trio fitted in two steps beside one fitted at once.

    python benchmarks/check_learning.py RESULT.json DATA [DATA …] --side 256 --splits 5

*product*: fitted on all products but one, which is then learned; each is left out in turn.
*halves*: fitted on a random half of each product's good images, the other half then learned.
Compared are the image AUROC of every product, and what limits for 5 % from out-of-fold scores stop
and find on the test images; beside them stands the model of the first half alone. *limits*: as
*halves* and at once, again and again on a random 60 % of the good images; the other 40 % are new
good parts.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.data.images.preprocess import Preprocessing
from blemish.data.layouts import read_data_set
from blemish.data.sample import Sample
from blemish.data.sources import load_input
from blemish.methods.base import Batch, OutOfFold
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.model import Trio
from blemish.metrics.ranking import auroc
from blemish.results import UNKNOWN_PRODUCT
from blemish.teachers.teacher import Teacher, build_teacher

RATE, TOGETHER = 0.05, 16
Levels = list[Tensor]


class Images(NamedTuple):
    """The teacher's levels of a product's images, float16, and which of them are defective."""

    levels: Levels
    bad: Tensor

    def __len__(self) -> int:
        return len(self.bad)

    def of(self, rows: Tensor) -> Images:
        return Images([level[rows] for level in self.levels], self.bad[rows])

    def batches(self, rows: Tensor, product: str) -> list[Batch]:
        return [
            Batch(
                features=tuple(level[part].float() for level in self.levels),
                products=(product,) * len(part),
                parts=tuple(f"{product}{row}" for row in part.tolist()),
            )
            for part in rows.split(TOGETHER)
        ]


class Model(NamedTuple):
    """A fitted trio and its limits."""

    method: Trio
    limits: Calibration

    @classmethod
    def fit(cls, teacher: Teacher, size: tuple[int, int], batches: Sequence[Batch]) -> Model:
        torch.manual_seed(0)
        method = Trio(TrioConfig(), teacher, size).eval()
        method.fit_statistics(batches)
        names = [name for batch in batches for name in batch.products or ()]
        return cls(method, calibrate(records(method.out_of_fold(), names), false_alarm_rate=RATE))

    def and_of(self, batches: list[Batch], product: str) -> Model:
        torch.manual_seed(0)
        method = copy.deepcopy(self.method)
        method.learn(batches, product)
        new = records(method.out_of_fold(), [product] * sum(map(length, batches)))
        return Model(method, calibrate(new, current=self.limits, how="join"))

    def judge(self, images: Images, product: str) -> dict[str, float]:
        """AUROC, and what is stopped and found by the limits of the product that is recognised."""
        scores, verdicts, shown = [], [], []
        for batch in images.batches(torch.arange(len(images)), product):
            assert batch.features is not None
            output = self.method.measure(batch.features)
            names = (*self.method.products, UNKNOWN_PRODUCT)
            assert output.product is not None
            for score, place in zip(output.score.tolist(), output.product.tolist(), strict=True):
                scores.append(score)
                shown.append(names[place] == product)
                verdicts.append(self.limits.judge(score, names[place]).verdict == "defect")
        bad, called = images.bad.numpy(), np.array(verdicts)
        return {
            "image_auroc": auroc(np.array(scores), bad) if bad.any() else float("nan"),
            "stopped": int(called[~bad].sum()),
            "good": int((~bad).sum()),
            "found": float(called[bad].mean()) if bad.any() else float("nan"),
            "recognised": float(np.mean(shown)),
        }


def length(batch: Batch) -> int:
    return len(batch.products or ())


def records(found: OutOfFold | None, products: Sequence[str]) -> list[CalibrationRecord]:
    assert found is not None
    numbers = zip(
        found.image.tolist(),
        found.score.tolist(),
        found.peak.tolist(),
        strict=True,
    )
    return [
        CalibrationRecord(products[image], score, peak, dict.fromkeys(found.branches, 0.0))
        for image, score, peak in numbers
    ]


def read(teacher: Teacher, samples: Sequence[Sample], prepare: Preprocessing) -> Images:
    found: list[Levels] = []
    for start in range(0, len(samples), 8):
        images = [np.asarray(load_input(s, prepare)[0]) for s in samples[start : start + 8]]
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        found.append([level.half() for level in teacher(pixels)])
    levels = [torch.cat(level) for level in zip(*found, strict=True)]
    return Images(levels, torch.tensor([s.label == 1 for s in samples]))


class Line:
    """The products, their images, and the models that are made of them."""

    def __init__(self, roots: Sequence[str], side: int) -> None:
        self.teacher, self.prepare = build_teacher(), Preprocessing(side, side)
        self.good: dict[str, Images] = {}
        self.test: dict[str, Images] = {}
        for root in roots:
            data = read_data_set(root)
            for product in data.products:
                own = data.of_products([product]).samples
                good = [s for s in own if s.is_good and s.split != "test"]
                test = [s for s in own if s.split == "test" and s.label is not None]
                self.good[product] = read(self.teacher, good, self.prepare)
                self.test[product] = read(self.teacher, test, self.prepare)

    def fit(self, rows: dict[str, Tensor]) -> Model:
        batches = [b for name, own in rows.items() for b in self.good[name].batches(own, name)]
        return Model.fit(self.teacher, self.prepare.size, batches)

    def learn(self, model: Model, rows: dict[str, Tensor]) -> Model:
        for name, own in rows.items():
            model = model.and_of(self.good[name].batches(own, name), name)
        return model

    def judged(self, model: Model) -> dict[str, dict[str, float]]:
        return {name: model.judge(images, name) for name, images in self.test.items()}


def limits_hold(line: Line, splits: int, rng: np.random.Generator) -> dict[str, Any]:
    """New good parts that limits of what was learned in two steps stop, over random splits."""
    counts = {name: {"new": 0, "stopped": 0, "stopped_at_once": 0} for name in line.good}
    for _ in range(splits):
        first, second, new = {}, {}, {}
        for name, images in line.good.items():
            order = torch.from_numpy(rng.permutation(len(images)))
            have = len(images) * 6 // 10
            first[name], second[name] = order[: have // 2], order[have // 2 : have]
            new[name] = order[have:]
        both = {name: torch.cat([first[name], second[name]]) for name in first}
        models = {"stopped": line.learn(line.fit(first), second), "stopped_at_once": line.fit(both)}
        for name, rows in new.items():
            images = line.good[name].of(rows)
            counts[name]["new"] += len(rows)
            for way, model in models.items():
                counts[name][way] += int(model.judge(images, name)["stopped"])
    for row in counts.values():
        row["usual_at_most"] = int(binom.ppf(0.975, row["new"], RATE))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--splits", type=int, default=5)
    given = parser.parse_args()
    started = time.monotonic()
    with torch.inference_mode():
        line = Line(given.data, given.side)
        rng = np.random.default_rng(0)
        everything = {name: torch.arange(len(images)) for name, images in line.good.items()}
        at_once = line.judged(line.fit(everything))
        added = {}
        for name in Progress().track(list(everything), "Products", len(everything)):
            others = {other: rows for other, rows in everything.items() if other != name}
            added[name] = line.judged(line.learn(line.fit(others), {name: everything[name]}))
        first, second = {}, {}
        for name, rows in everything.items():
            order = torch.from_numpy(rng.permutation(len(rows)))
            first[name], second[name] = order[: len(rows) // 2], order[len(rows) // 2 :]
        half = line.fit(first)
        halves = line.judged(line.learn(half, second))
        content = {
            "command": "python benchmarks/check_learning.py RESULT DATA … "
            f"--side {given.side} --splits {given.splits}",
            "data": [Path(root).name for root in given.data],
            "rate": RATE,
            "seed": 0,
            "at_once": at_once,
            "product_added": added,
            "first_half": line.judged(half),
            "halves": halves,
            "limits": limits_hold(line, given.splits, rng),
            "seconds": round(time.monotonic() - started),
        }
    write_result(given.result, content)
    print_tables(content)


def print_tables(content: dict[str, Any]) -> None:
    ways = {"at once": content["at_once"]}
    ways |= {f"{name} learned": found for name, found in content["product_added"].items()}
    ways |= {"first half alone": content["first_half"], "halves": content["halves"]}
    products = list(content["at_once"])
    for what in ("image_auroc", "found", "stopped"):
        print(f"\n| {what} | {' | '.join(products)} |\n|---|{'---:|' * len(products)}")
        for way, found in ways.items():
            rows = [found[name] for name in products]
            counted = [f"{row['stopped']} of {row['good']}" for row in rows]
            shares = [f"{100 * row[what]:.1f}" for row in rows]
            cells = counted if what == "stopped" else shares
            print(f"| {way} | {' | '.join(cells)} |")
    print("\n| product | new good parts | stopped | at once | usual at most |")
    print("|---|---:|---:|---:|---:|")
    for name, row in content["limits"].items():
        cells = [str(row[n]) for n in ("new", "stopped", "stopped_at_once", "usual_at_most")]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
