"""Few-shot curve: what does each number of good pictures find, by the default and by PatchCore?

    python benchmarks/few_shot.py RESULT.json DATA [DATA …] --side 384 --draws 5

Of every product 1, 2, 4, 8 and 16 good training images are drawn, five times over, and all of
them once; both methods learn the same ones and are measured on all test images. Limits for 5 %
come as ``blemish fit`` sets them: out of fold of all of them for the trio, from a fifth that is
held out for PatchCore, which then learns from the rest; where that leaves none, the defects found
are not told.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from check_cross_calibration import Levels, features, limit
from numpy.typing import NDArray
from torch import Tensor

from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.data.images.preprocess import Preprocessing, choose_input_size
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet
from blemish.data.sources import load_input
from blemish.methods.base import Batch
from blemish.methods.patchcore.config import PatchCoreConfig
from blemish.methods.patchcore.model import PatchCore
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.model import Trio
from blemish.metrics import auroc
from blemish.teachers.teacher import Teacher, build_teacher

COUNTS = (1, 2, 4, 8, 16)
HELD = 0.2  # of the good images, to calibrate a method that does not cross-fit
METHODS = ("trio", "patchcore")


def batches(levels: Levels, rows: Tensor) -> list[Batch]:
    return [Batch(features=tuple(f[part].float() for f in levels)) for part in rows.split(16)]


def scores(method: Trio | PatchCore, levels: Levels, rows: Tensor) -> NDArray[np.float64]:
    found = [method.measure([f[part].float() for f in levels]).score for part in rows.split(16)]
    return torch.cat(found).double().numpy()


def learned(
    name: str, teacher: Teacher, size: tuple[int, int], levels: Levels, rows: Tensor
) -> tuple[Trio | PatchCore, NDArray[np.float64]]:
    """A fitted method, and scores of good images that it may be calibrated with."""
    torch.manual_seed(0)
    if name == "trio":
        trio = Trio(TrioConfig(groups=1), teacher, size).eval()
        trio.fit_statistics(batches(levels, rows))
        own = trio.out_of_fold()
        return trio, np.empty(0) if own is None else own.score.double().numpy()
    held = math.floor(HELD * len(rows))
    patchcore = PatchCore(PatchCoreConfig(groups=1), teacher, size).eval()
    patchcore.prepare(batches(levels, rows[held:]))
    patchcore.fit_statistics(batches(levels, rows[held:]))
    return patchcore, scores(patchcore, levels, rows[:held]) if held else np.empty(0)


def curve(data: DataSet, teacher: Teacher, side: int, draws: int) -> dict[str, Any]:
    """By method and number of good images: AUROC and defects found of every draw."""
    good = [s for s in data.samples if s.is_good and s.split in ("train", "validation")]
    tests = [s for s in data.split("test").samples if s.label is not None]
    bad = np.array([not sample.is_good for sample in tests])
    sizes = [load_input(s, Preprocessing(32, 32))[1] for s in good[:20]]
    prepare = Preprocessing(*choose_input_size(sizes, side=side))
    levels, new = (features(teacher, some, prepare) for some in (good, tests))
    every = torch.arange(len(tests))
    result: dict[str, Any] = {name: {} for name in METHODS}
    for count in (*(c for c in COUNTS if c < len(good)), len(good)):
        for draw in range(draws if count < len(good) else 1):
            order = np.random.default_rng(draw).permutation(len(good))[:count]
            for name in METHODS:
                method, own = learned(name, teacher, prepare.size, levels, torch.from_numpy(order))
                of_tests = scores(method, new, every)
                row = {"image_auroc": auroc(of_tests, bad.astype(int))}
                if len(own):
                    line = limit(own)
                    row["found_at_5"] = float((of_tests[bad] > line).mean())
                    row["stopped_at_5"] = float((of_tests[~bad] > line).mean())
                result[name].setdefault("all" if count == len(good) else str(count), []).append(row)
    return result


def table(products: dict[str, Any]) -> str:
    """Markdown: mean over products and draws, in percent; spread of AUROC over the draws."""
    lines = [
        "| method | good images | image AUROC | found at 5 % | stopped |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in METHODS:
        for count in (*map(str, COUNTS), "all"):
            rows = [p[name][count] for p in products.values() if count in p[name]]
            means = [np.mean([r["image_auroc"] for r in own]) for own in rows]
            spread = np.mean([np.std([r["image_auroc"] for r in own]) for own in rows])
            cells = [f"{100 * np.mean(means):.1f} ± {100 * spread:.1f}"]
            for what in ("found_at_5", "stopped_at_5"):
                told = [np.mean([r[what] for r in own]) for own in rows if what in own[0]]
                cells.append(f"{100 * np.mean(told):.0f}" if len(told) == len(rows) else "")
            lines.append(f"| {name} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--draws", type=int, default=5)
    given = parser.parse_args()
    teacher, progress = build_teacher(), Progress()
    products: dict[str, Any] = {}
    with torch.inference_mode():
        for root in given.data:
            data = read_data_set(root)
            for product in progress.track(data.products, Path(root).name, len(data.products)):
                chosen = data.of_products([product])
                products[product] = curve(chosen, teacher, given.side, given.draws)
    content = {
        "command": "python benchmarks/few_shot.py RESULT DATA … "
        f"--side {given.side} --draws {given.draws}",
        "data": [Path(root).name for root in given.data],
        "seed": 0,
        "products": products,
    }
    write_result(given.result, content)
    print(table(products))


if __name__ == "__main__":
    main()
