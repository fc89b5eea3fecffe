"""Do limits hold for parts that nothing was seen of? Realised false alarms by groups of pictures.

    python benchmarks/check_groups.py RESULT.json DATA --product commutator --side 256 --splits 20

The pictures of a part are alike. Again and again 60 % of the groups are what a user has, and the
good pictures of the others come from new parts; the groups are items, told from the names, and
those of equal pictures are one. The trio sets limits from what the user has, in four ways: *cross*,
all pictures fit and all calibrate, each measured by the others; *split*, a fifth is held out to
calibrate; either with the groups known, so that none is on both sides, or without. Counted are the
new parts' good pictures called defective at 1 % and 5 %, and the defects found by the same limits.
Split limits, which take a fit each, are set for every second draw.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from check_cross_calibration import Levels, features
from numpy.typing import NDArray
from scipy.stats import binom

from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.calibration.conformal import in_groups, limit_at
from blemish.data.equal_pictures import alike_together
from blemish.data.grouping import count_groups, grouped
from blemish.data.images.preprocess import Preprocessing, choose_input_size
from blemish.data.layouts import read_data_set
from blemish.data.sample import Sample, hold_out
from blemish.data.sources import load_input
from blemish.methods.base import Batch
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.model import Trio
from blemish.teachers.teacher import Teacher, build_teacher

RATES = (0.01, 0.05)
WAYS = ("cross grouped", "cross ungrouped", "split grouped", "split ungrouped")
Scores = NDArray[np.float64]


class Learner:
    """Fits the trio on some of the pictures, and scores others by it."""

    def __init__(self, teacher: Teacher, size: tuple[int, int], levels: Levels) -> None:
        self.teacher, self.size, self.levels = teacher, size, levels

    def fitted(self, rows: list[int], parts: list[str]) -> Trio:
        torch.manual_seed(0)
        method = Trio(TrioConfig(groups=1), self.teacher, self.size).eval()
        starts = range(0, len(rows), 16)
        method.fit_statistics(
            Batch(
                features=tuple(f[rows[at : at + 16]].float() for f in self.levels),
                parts=tuple(parts[at : at + 16]),
            )
            for at in starts
        )
        return method


def scored(method: Trio, levels: Levels, rows: list[int]) -> Scores:
    parts = [rows[at : at + 16] for at in range(0, len(rows), 16)]
    scores = [method.measure([f[part].float() for f in levels]).score for part in parts]
    return torch.cat(scores).double().numpy()


def limits(good: Scores, groups: Iterable[str]) -> list[float]:
    """The limits for a defect at each of ``RATES``, as a model has them."""
    grouped = in_groups([*Counter(groups).values()])
    return [limit_at(rate, np.sort(good).tolist(), grouped=grouped) for rate in RATES]


def one_split(
    learner: Learner, bad: Levels, samples: list[Sample], have: list[int], new: list[int], seed: int
) -> dict[str, list[tuple[int, float]]]:
    """For each way, good pictures stopped and share of the defects found, at each rate."""
    names = [s.together or f"alone {row}" for row, s in enumerate(samples)]
    alone = [f"alone {row}" for row in range(len(samples))]
    found: dict[str, list[tuple[int, float]]] = {}
    defects = list(range(len(bad[0])))
    for way in WAYS[: 2 if seed % 2 else None]:
        parts = names if way.endswith(" grouped") else alone
        rows, held = have, []
        if way.startswith("split"):
            as_known = [
                samples[row] if parts is names else Sample(Path(alone[row]), "part", "train", 0)
                for row in have
            ]
            at = {id(sample): row for sample, row in zip(as_known, have, strict=True)}
            kept, out = hold_out(as_known, 0.2, seed)
            rows, held = [at[id(s)] for s in kept], [at[id(s)] for s in out]
        method = learner.fitted(rows, [parts[row] for row in rows])
        if held:
            good = scored(method, learner.levels, held)
        else:
            own = method.out_of_fold()
            assert own is not None
            good = own.score.double().numpy()
        lines = limits(good, [parts[row] for row in held or rows])
        fresh, spoiled = scored(method, learner.levels, new), scored(method, bad, defects)
        found[way] = [(int((fresh > line).sum()), float((spoiled > line).mean())) for line in lines]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("data")
    parser.add_argument("--product", required=True)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--splits", type=int, default=20)
    given = parser.parse_args()
    started = time.monotonic()
    teacher, progress = build_teacher(), Progress()
    data = read_data_set(given.data).of_products([given.product])
    named = grouped([s for s in data.samples if s.is_good])
    alike, said = alike_together(named.samples, progress=progress)
    samples = list({s.path.read_bytes(): s for s in alike}.values())  # equal ones count once
    defects = [s for s in data.split("test").samples if s.label == 1]
    sizes = [load_input(s, Preprocessing(32, 32))[1] for s in samples[:20]]
    prepare = Preprocessing(*choose_input_size(sizes, side=given.side))
    rng = np.random.default_rng(0)
    items = list(dict.fromkeys(s.together for s in samples))
    rows: dict[str, list[list[tuple[int, float]]]] = {way: [] for way in WAYS}
    counts: dict[str, list[int]] = {way: [] for way in WAYS}
    with torch.inference_mode():
        levels, bad = (features(teacher, some, prepare) for some in (samples, defects))
        learner = Learner(teacher, prepare.size, levels)
        for seed in progress.track(range(given.splits), "Splits", given.splits):
            drawn = {items[at] for at in rng.permutation(len(items))[: len(items) * 6 // 10]}
            have = [row for row, s in enumerate(samples) if s.together in drawn]
            new = [row for row, s in enumerate(samples) if s.together not in drawn]
            for way, figures in one_split(learner, bad, samples, have, new, seed).items():
                rows[way].append(figures)
                counts[way].append(len(new))
    content: dict[str, Any] = {
        "command": f"python benchmarks/check_groups.py RESULT {Path(given.data).name} --product "
        f"{given.product} --side {given.side} --splits {given.splits}",
        "said": [*named.said, *said],
        "pictures": len(samples),
        "groups": count_groups(samples),
        "input": list(prepare.size),
        "defects": len(defects),
        "new_pictures": counts[WAYS[0]],
        "seed": 0,
        "seconds": round(time.monotonic() - started),
        "ways": {way: summary(found, counts[way]) for way, found in rows.items()},
    }
    write_result(given.result, content)
    print("| limits | 1 %: stopped | found | 5 %: stopped | found |\n|---|---:|---:|---:|---:|")
    for way, by_rate in content["ways"].items():
        figures = [row[what] for row in by_rate.values() for what in ("stopped", "found")]
        print(f"| {way} | {' | '.join(f'{100 * figure:.1f}' for figure in figures)} |")


def summary(found: list[list[tuple[int, float]]], counts: list[int]) -> dict[str, dict[str, Any]]:
    """Over all splits, at each rate: the shares, and the splits in the binomial's 95 % range."""
    result = {}
    for at, rate in enumerate(RATES):
        stopped = [figures[at][0] for figures in found]
        most = [int(binom.ppf(0.975, n, rate)) for n in counts]
        total = sum(counts)
        result[f"{rate:g}"] = {
            "stopped": sum(stopped) / total,
            "binomial_range": [float(binom.ppf(q, total, rate)) / total for q in (0.025, 0.975)],
            "splits_above_their_range": sum(s > m for s, m in zip(stopped, most, strict=True)),
            "worst_split": max(s / n for s, n in zip(stopped, counts, strict=True)),
            "stopped_by_split": stopped,
            "found": float(np.mean([figures[at][1] for figures in found])),
        }
    return result


if __name__ == "__main__":
    main()
