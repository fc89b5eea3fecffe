"""Are mislabelled good pictures named, and does a clean folder raise no warning?

    python benchmarks/check_labels.py RESULT.json DATA [DATA …] --products bottle,pill --draws 20

A result that is there already is added to, so that a long list may be measured in turns.

Random folders of 60 good pictures of each product (of all but one tenth, where it has no more), as
`blemish fit` would be given them: clean ones, and ones in which three pictures are replaced by
defective test pictures *of one kind*, which hide each other. Counted are the folders of which any
picture is named, and the culprits named. Good test pictures are among the good ones: nothing is
learned here that is then measured on them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.data.images.preprocess import Preprocessing, choose_input_size
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet, Sample
from blemish.data.sources import load_input
from blemish.methods.base import Batch
from blemish.teachers.teacher import Teacher, build_teacher
from blemish.training.label_check import mislabelled

MOST, FOLDER, CULPRITS = 180, 60, 3


def features(teacher: Teacher, samples: list[Sample], prepare: Preprocessing) -> list[Tensor]:
    """The teacher's levels of all samples, float16."""
    found: list[list[Tensor]] = []
    for start in range(0, len(samples), 8):
        images = [np.array(load_input(s, prepare)[0]) for s in samples[start : start + 8]]
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        found.append([level.half() for level in teacher(pixels)])
    return [torch.cat(level) for level in zip(*found, strict=True)]


def drawn(samples: Iterable[Sample], most: int, rng: np.random.Generator) -> list[Sample]:
    samples = list(samples)
    return [samples[at] for at in sorted(rng.permutation(len(samples))[:most])]


def check_product(
    data: DataSet, teacher: Teacher, side: int, draws: int, seed: int
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    good = drawn((s for s in data.samples if s.is_good), MOST, rng)
    bad = drawn((s for s in data.samples if s.label == 1), MOST // 2, rng)
    sizes = [load_input(s, Preprocessing(32, 32))[1] for s in good[:20]]
    prepare = Preprocessing(*choose_input_size(sizes, side=side))
    samples, levels = [*good, *bad], features(teacher, [*good, *bad], prepare)
    kinds = Counter(s.defect_kind for s in bad)
    usable = sorted(str(kind) for kind, count in kinds.items() if count >= CULPRITS)
    size = min(FOLDER, len(good) * 9 // 10)
    named_good: Counter[str] = Counter()
    clean_named: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    clean = whole = some = false = 0
    seconds = 0.0

    def suspects(chosen: Sequence[int]) -> list[Sample]:
        nonlocal seconds

        def batches(rows: Sequence[int]) -> Iterable[Batch]:
            for start in range(0, len(rows), 16):
                own = [chosen[row] for row in rows[start : start + 16]]
                products = tuple(samples[at].product for at in own)
                yield Batch(features=tuple(f[own].float() for f in levels), products=products)

        started = time.perf_counter()
        folder = [samples[at] for at in chosen]
        found = mislabelled(teacher, prepare.size, folder, batches)
        seconds += time.perf_counter() - started
        return [suspect.sample for suspect in found]

    for _ in range(draws):
        order = rng.permutation(len(good))[:size].tolist()
        kind = str(rng.choice(usable))
        own = [len(good) + at for at, s in enumerate(bad) if str(s.defect_kind) == kind]
        culprits = rng.choice(own, CULPRITS, replace=False).tolist()
        named = suspects(order)
        clean += bool(named)
        clean_named.update(s.path.name for s in named)
        named = suspects([*order[: size - CULPRITS], *culprits])
        hits = sum(not s.is_good for s in named)
        asked[kind] += CULPRITS
        by_kind[kind] += hits
        whole += hits == CULPRITS
        some += hits > 0
        false += any(s.is_good for s in named)
        named_good.update(s.path.name for s in named if s.is_good)
    return {
        "folder": size,
        "good": len(good),
        "clean": {"warned": clean / draws, "named": dict(clean_named.most_common())},
        "mislabelled": {
            "culprits_named": sum(by_kind.values()) / (CULPRITS * draws),
            "all_named": whole / draws,
            "any_named": some / draws,
            "good_named_too": false / draws,
            "by_kind": {kind: by_kind[kind] / count for kind, count in sorted(asked.items())},
            "good_named": dict(named_good.most_common()),
        },
        "seconds_per_folder": seconds / (2 * draws),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--products", help="only these, separated by commas")
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    wanted = given.products.split(",") if given.products else None
    teacher, progress = build_teacher(), Progress()
    content: dict[str, Any] = {"products": {}}
    if given.result.exists():
        content = json.loads(given.result.read_text())  # further products join those
    products = content["products"]
    given.result.parent.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        for root in given.data:
            data = read_data_set(root)
            names = [name for name in data.products if wanted is None or name in wanted]
            for name in progress.track(names, Path(root).name, len(names)):
                products[name] = check_product(
                    data.of_products([name]), teacher, given.side, given.draws, given.seed
                )
                content |= {
                    "command": "python benchmarks/check_labels.py RESULT DATA … "
                    f"--side {given.side} --draws {given.draws} --seed {given.seed}",
                }
                write_result(given.result, content)
    print("| product | pictures | clean: warned | culprits named | all three | good ones too |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, row in products.items():
        dirty = row["mislabelled"]
        figures = [row["clean"]["warned"], *map(dirty.get, ("culprits_named", "all_named"))]
        figures.append(dirty["good_named_too"])
        print(f"| {name} | {row['folder']} | {' | '.join(f'{100 * f:.0f}' for f in figures)} |")


if __name__ == "__main__":
    main()
