"""What do a few labelled defects make of the trio's weights, and of the defects that remain?

    python benchmarks/weigh_defects.py RESULT.json LOOKOUT PILL COMMUTATOR [--draws 12]

LOOKOUT is a folder with the products alien and cookie, PILL and COMMUTATOR are of one product
each; tray and board are rendered. Each product is learned alone from its good training pictures, as
``blemish fit --speed fast`` does. Then 3, 5 and 10 labelled defects are drawn, of all kinds and of
one kind only, the kinds in turn; the trio is weighed by them, and without them measured on all
other test pictures: image AUROC, and defects found and good pictures stopped at the limit for 5 %
that its good pictures set, each measured by the others. Every draw's figures stand beside those of
the usual weights on the same pictures.

The rule was chosen on these products, COMMUTATOR's last part included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.calibration.conformal import limit_at
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet
from blemish.data.sources import load_input
from blemish.demo_line import write_demo_line
from blemish.methods.base import Batch
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.model import Trio
from blemish.metrics import auroc

COUNTS = (3, 5, 10)
RATE = 0.05
LAYOUT = TrioConfig().layout_weight
LEFT = 2  # defects of a kind that must remain


class Weighing:
    """A product's fitted trio, weighed again and again, and its test pictures."""

    def __init__(self, data: DataSet) -> None:
        detector = Detector(speed="fast").fit(
            data.split("train"),
            training=TrainingOptions(seed=0, device="cpu"),
            progress=Progress(quiet=True),
        )
        assert isinstance(detector.method, Trio)
        self.trio, self.good = detector.method, detector.fit_report.training_images
        self.usual = self.trio.weights.memory.clone()
        tests = [s for s in data.split("test").samples if s.label is not None]
        self.bad = np.array([not sample.is_good for sample in tests])
        self.kinds = np.array([sample.defect_kind or "good" for sample in tests])
        prepare = detector.ready()[1]
        found = []
        with torch.inference_mode():
            for sample in tests:
                pixels = np.array(load_input(sample, prepare)[0])[None]
                found.append(self.trio.teacher(torch.from_numpy(pixels).permute(0, 3, 1, 2)))
            self.levels: list[Tensor] = [torch.cat(level) for level in zip(*found, strict=True)]
            features = self.trio.features(self.levels)
            self.group = self.trio.product(self.trio.codes(features))[0]
            memory, self.place, quarters = self.trio.deviations(features, self.group)
            self.memory = memory.odd
            self.layout = quarters.amax(1)

    def figures(self, labelled: Sequence[int]) -> tuple[dict[str, Any], dict[str, float]]:
        """What was chosen by these test pictures, and the figures on the others."""
        trio = self.trio
        with torch.inference_mode():
            trio.weights.memory.copy_(self.usual)
            trio.weights.layout.fill_(LAYOUT)
            trio.weigh([Batch(features=tuple(level[labelled] for level in self.levels))])
        scores, limit = self.scored()
        rest = np.setdiff1d(np.arange(len(scores)), labelled)
        return self.weights(), self.measured(scores, limit, rest)

    def weights(self) -> dict[str, float]:
        own = self.trio.weights
        return {"memory": round(float(own.memory[0]), 3), "layout": round(float(own.layout[0]), 3)}

    def limit(self) -> float:
        """What the good pictures set, by the weights as they are."""
        own = self.trio.out_of_fold()
        assert own is not None
        return limit_at(RATE, own.score.sort().values.tolist())

    def measured(self, scores: Any, limit: float, rest: Any) -> dict[str, float]:
        bad = self.bad[rest]
        return {
            "image_auroc": auroc(scores[rest], bad.astype(int)),
            "found": float((scores[rest][bad] > limit).mean()),
            "stopped": float((scores[rest][~bad] > limit).mean()),
        }

    def scored(self) -> tuple[Any, float]:
        """Scores and limit by the weights as they are, as :meth:`measured` takes them."""
        trio = self.trio
        with torch.inference_mode():
            local = trio.weights.local(self.memory, self.place, self.group)
            both = torch.stack([local.amax(1), self.layout], 1)
            scores = trio.weights.score(trio.scores(both, self.group), self.group)
        return scores.numpy(), self.limit()


def draws(kinds: Any, bad: Any, count: int, one_kind: bool, times: int) -> Iterator[list[int]]:
    rng = np.random.default_rng(0)
    enough = [k for k in dict.fromkeys(kinds[bad]) if (kinds == k).sum() >= count + LEFT]
    for draw in range(times):
        pool = np.where(kinds == enough[draw % len(enough)] if one_kind else bad)[0]
        yield sorted(rng.permutation(pool)[:count].tolist())


def measure_product(data: DataSet, times: int) -> dict[str, Any]:
    product = Weighing(data)
    scores, limit = product.scored()
    usual, runs = product.weights(), []
    for one_kind in (False, True):
        for count in COUNTS:
            for own in draws(product.kinds, product.bad, count, one_kind, times):
                rest = np.setdiff1d(np.arange(len(scores)), own)
                before = product.measured(scores, limit, rest)
                weights, after = product.figures(own)
                runs.append(
                    {
                        "labelled": count,
                        "kinds": "one" if one_kind else "all",
                        "weights": weights,
                        "before": before,
                        "after": after,
                    }
                )
    everything = product.measured(scores, limit, np.arange(len(scores)))
    return {"good": product.good, "usual": usual, "without_labels": everything, "runs": runs}


def table(products: dict[str, Any]) -> str:
    """Markdown: the change of figures by labelled defects, in points, mean over the draws."""
    lines = [
        "| labelled | " + " | ".join(products) + " | mean |",
        "|---|" + "---:|" * (len(products) + 1),
    ]
    cells = [
        f"{100 * p['without_labels']['image_auroc']:.1f} / {100 * p['without_labels']['found']:.0f}"
        for p in products.values()
    ]
    lines.append("| none | " + " | ".join([*cells, ""]) + " |")
    for kinds, said in (("all", "of all kinds"), ("one", "of one kind")):
        for count in COUNTS:
            cells, sums = [], []
            for product in products.values():
                own = [r for r in product["runs"] if (r["kinds"], r["labelled"]) == (kinds, count)]
                gain = [
                    [100 * (r["after"][f] - r["before"][f]) for f in ("image_auroc", "found")]
                    for r in own
                ]
                changed = sum(r["weights"] != product["usual"] for r in own)
                mean, worst = np.mean(gain, 0), np.min(gain, 0)
                sums.append(mean)
                cells.append(
                    f"{mean[0]:+.1f} / {mean[1]:+.0f} ({changed} of {len(own)}, worst "
                    f"{worst[0]:+.1f} / {worst[1]:+.0f})"
                    if changed
                    else "="
                )
            over = np.mean(sums, 0)
            cells.append(f"{over[0]:+.1f} / {over[1]:+.1f}")
            lines.append(f"| {count} {said} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("lookout", type=Path)
    parser.add_argument("pill", type=Path)
    parser.add_argument("commutator", type=Path)
    parser.add_argument("--draws", type=int, default=12)
    given = parser.parse_args()
    started, products = time.process_time(), {}
    with tempfile.TemporaryDirectory() as folder:
        line = write_demo_line(Path(folder) / "line", products=["tray", "board"], size=256)
        sets = [
            (line, ("tray", "board")),
            (given.lookout, ("alien", "cookie")),
            (given.pill, ("pill",)),
            (given.commutator, ("commutator",)),
        ]
        for root, names in sets:
            data = read_data_set(root)
            for name in names:
                products[name] = measure_product(data.of_products([name]), given.draws)
                print(name, products[name]["without_labels"], flush=True)
    content = {
        "command": "python benchmarks/weigh_defects.py RESULT LOOKOUT PILL COMMUTATOR "
        f"--draws {given.draws}",
        "false_alarm_rate": RATE,
        "cpu_seconds": round(time.process_time() - started),
        "products": products,
    }
    write_result(given.result, content)
    print(table(products))


if __name__ == "__main__":
    main()
