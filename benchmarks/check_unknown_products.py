"""Is a picture of no known product called unknown, and one of a known product never?

    python benchmarks/check_unknown_products.py RESULT.json DATA [DATA …] --side 256

Each product of the data sets, and six computed textures, is left out in turn of what the product
code of the trio learns: up to 30 good training pictures of every other one. Counted are the test
pictures of the one left out that are called *unknown product*, and those of the others that are
called unknown, taken for another product, or doubted between two; good and defective ones apart. A
second count does the same with models of two products, each left-out product judged by ten random
pairs of the others. The result also holds how many times as far from the nearest mean as is usual
the pictures are, by which the limit (9 times) is to be judged. Nothing here chose it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from blemish._files import atomic_write
from blemish.benchmark.environment import environment
from blemish.data.images.preprocess import Preprocessing
from blemish.data.layouts import read_data_set
from blemish.data.sample import Sample
from blemish.data.sources import load_input
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.model import Trio
from blemish.methods.trio.product_code import _FAR, ProductCode
from blemish.teachers.teacher import build_teacher

TRAIN, GOOD, DEFECTIVE, PAIRS, SIDE = 30, 15, 15, 10, 256
Picture = NDArray[np.uint8]


def texture(kind: str, k: int) -> Picture:
    """A computed texture: one kind is one product, ``k`` one picture of it."""
    rng = np.random.default_rng([k, *kind.encode()])
    y, x = np.mgrid[:SIDE, :SIDE]
    noise = rng.standard_normal((SIDE, SIDE))
    if kind == "grating":
        grey = np.sin(0.35 * (x + rng.uniform(0, 20)))
    elif kind == "checker":
        grey = np.sign(np.sin(0.2 * (x + rng.uniform(0, 30))) * np.sin(0.2 * y))
    elif kind == "cells":
        distance = np.full((SIDE, SIDE), np.inf)
        for cy, cx in rng.uniform(0, SIDE, (60, 2)):
            distance = np.minimum(distance, np.hypot(y - cy, x - cx))
        grey = distance / 12 - 1
    elif kind == "dots":
        spots = (rng.random((SIDE, SIDE)) < 0.002).astype(float)
        grey = 40 * ndimage.gaussian_filter(spots, 4) - 0.5
    else:  # clouds of two sizes
        blurred = ndimage.gaussian_filter(noise, {"clouds": 12, "grain": 1.5}[kind])
        grey = blurred / blurred.std()
    grey = 128 + 45 * grey + 6 * noise + rng.normal(0, 3)
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def pools(data: list[str]) -> Iterator[tuple[str, dict[str, list[Sample]]]]:
    """Name of each product with its training, good and defective test pictures."""
    for root in data:
        data_set = read_data_set(root)
        for product in data_set.products:
            own = data_set.of_products([product])
            good = [s for s in own.split("train").samples if s.is_good]
            test = own.split("test").samples
            found = {
                "train": good[:: max(1, len(good) // TRAIN)][:TRAIN],
                "good": [s for s in test if s.is_good][:GOOD],
                "defective": [s for s in test if not s.is_good],
            }
            step = max(1, len(found["defective"]) // DEFECTIVE)
            found["defective"] = found["defective"][::step][:DEFECTIVE]
            yield f"{data_set.layout}/{product}", found
    for kind in ("grating", "checker", "cells", "dots", "clouds", "grain"):
        samples = [
            Sample(Path(f"{kind}{k}"), kind, "train", 0, image=texture(kind, k))
            for k in range(TRAIN + GOOD)
        ]
        yield f"texture/{kind}", {"train": samples[:TRAIN], "good": samples[TRAIN:]}


def codes_of(method: Trio, samples: list[Sample], prepare: Preprocessing) -> Tensor:
    found = []
    for start in range(0, len(samples), 8):
        images = [np.asarray(load_input(s, prepare)[0]) for s in samples[start : start + 8]]
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        found.append(method.patches(method.teacher(pixels)).mean((2, 3)))
    return torch.cat(found)


class Counts:
    """Pictures by what they were called, and how many times the usual distance away they lie."""

    def __init__(self) -> None:
        self.called = {"own": 0, "other": 0, "unknown": 0}
        self.doubted = 0
        self.times: list[float] = []

    def add(self, code: ProductCode, codes: Tensor, own: int | None) -> None:
        group, shown, rival = code(codes)
        for product in shown.tolist():
            self.called["unknown" if product < 0 else "own" if product == own else "other"] += 1
        self.doubted += int((rival >= 0).sum())
        squares = (codes @ code.whiten.T - code.centre[group]).square().sum(1)
        self.times += (_FAR * (squares / code.limit[group]).sqrt()).tolist()

    def summary(self) -> dict[str, object]:
        points = np.quantile(self.times, [0, 0.01, 0.05, 0.5, 0.95, 0.99, 1]).round(2).tolist()
        total = sum(self.called.values())
        shares = {name: round(count / total, 4) for name, count in self.called.items()}
        return {"pictures": total, **shares, "doubted": self.doubted / total, "times": points}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("result", type=Path)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--side", type=int, default=256)
    options = parser.parse_args()
    prepare = Preprocessing(options.side, options.side)
    codes: dict[str, dict[str, Tensor]] = {}
    with torch.inference_mode():
        method = Trio(TrioConfig(), build_teacher(), prepare.size).eval()
        for name, pool in pools(options.data):
            codes[name] = {
                part: codes_of(method, samples, prepare)
                for part, samples in pool.items()
                if samples
            }
            print(name, {part: len(found) for part, found in codes[name].items()}, flush=True)
        content = {
            "environment": environment(),
            "side": options.side,
            "limit": _FAR,
            "all but one": {
                name: judged(codes, name, sorted(codes.keys() - {name})) for name in codes
            },
            "pairs": {name: by_pairs(codes, name) for name in codes},
        }
    content["in total"] = {
        models: {
            kind: pooled(content[models], kind)  # type: ignore[arg-type]
            for kind in ("foreign good", "foreign defective", "known good", "known defective")
        }
        for models in ("all but one", "pairs")
    }
    with atomic_write(options.result) as file:
        file.write(json.dumps(content, indent=1).encode() + b"\n")
    print(json.dumps(content["in total"], indent=1))


def judged(codes: dict[str, dict[str, Tensor]], left: str, known: list[str]) -> dict[str, object]:
    found = {
        kind: Counts()
        for kind in ("foreign good", "foreign defective", "known good", "known defective")
    }
    measure(codes, left, known, found)
    return {kind: counts.summary() for kind, counts in found.items() if counts.times}


def by_pairs(codes: dict[str, dict[str, Tensor]], left: str) -> dict[str, object]:
    found = {
        kind: Counts()
        for kind in ("foreign good", "foreign defective", "known good", "known defective")
    }
    rng = np.random.default_rng(0)
    others = sorted(codes.keys() - {left})
    for _ in range(PAIRS):
        measure(codes, left, rng.choice(others, 2, replace=False).tolist(), found)
    return {kind: counts.summary() for kind, counts in found.items() if counts.times}


def measure(
    codes: dict[str, dict[str, Tensor]], left: str, known: list[str], found: dict[str, Counts]
) -> None:
    trained = [codes[name]["train"] for name in known]
    code = ProductCode(trained[0].shape[1])
    code.fit(trained, [torch.arange(len(own)) for own in trained])
    for kind in ("good", "defective"):
        if kind in codes[left]:
            found[f"foreign {kind}"].add(code, codes[left][kind], None)
        for place, name in enumerate(known):
            if kind in codes[name]:
                found[f"known {kind}"].add(code, codes[name][kind], place)


def pooled(runs: dict[str, dict[str, dict[str, float]]], kind: str) -> dict[str, float]:
    rows = [run[kind] for run in runs.values() if kind in run]
    total = sum(row["pictures"] for row in rows)
    keys = ("own", "other", "unknown", "doubted")
    shares = {k: round(sum(r[k] * r["pictures"] for r in rows) / total, 4) for k in keys}
    return {"pictures": total, **shares}


if __name__ == "__main__":
    main()
