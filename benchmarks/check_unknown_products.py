"""Is a picture of no known product called unknown, and one of a known product never?

    python benchmarks/check_unknown_products.py RESULT.json DATA [DATA …] --side 256

Of every product of the data sets, of the demo line and of computed textures a trio is fitted on up
to 30 good pictures; trios of 2, 4 and 8 of them, drawn at random, are put together as ``blemish
learn`` does, and judge test pictures of a product left out beside those of the products they know:
good, defective, good with a planted anomaly, and good in less light. Counted are what is called
*unknown product*, what is taken for another product, and what is doubted between two. Products that
had a say in the limits (``CHOSEN_ON``) and fresh ones are never in one trio, and counted apart.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from blemish.benchmark.result_file import write_result
from blemish.data.images.preprocess import Preprocessing
from blemish.data.layouts import read_data_set
from blemish.data.planted import KINDS, plant_anomaly
from blemish.data.sample import Sample
from blemish.data.sources import load_input
from blemish.demo_line import DEFECTS, PRODUCTS, render
from blemish.methods.base import Batch
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.learning import put_product_beside
from blemish.methods.trio.model import Trio
from blemish.teachers.teacher import build_teacher

TRAIN, GOOD, DEFECTIVE, TIMES, COUNTS = 30, 12, 20, 2, (2, 4, 8)
#: Darkest light that good pictures are also judged in.
LIGHT = 0.85
TEXTURES = (
    *("grating", "checker", "dots", "clouds", "grain", "cells", "bricks", "wood", "rings"),
    *("flat", "disc", "square", "weave", "pellets", "ramp"),
)
CHOSEN_ON = {*PRODUCTS, *TEXTURES[:5], "bottle", "cookie"}
Picture = NDArray[np.uint8]


def texture(kind: str, k: int, side: int) -> Picture:
    """A computed texture: one kind is one product, ``k`` one picture of it."""
    rng = np.random.default_rng([k, *kind.encode()])
    y, x = np.mgrid[:side, :side].astype(float)
    noise = rng.standard_normal((side, side))
    down, across = y - side / 2 + rng.normal(0, 2), x - side / 2 + rng.normal(0, 2)
    shift = rng.uniform(0, 40)
    if kind == "grating":
        grey = np.sin(0.35 * (x + shift))
    elif kind == "checker":
        grey = np.sign(np.sin(0.2 * (x + shift)) * np.sin(0.2 * y))
    elif kind in ("dots", "pellets"):
        share, size = {"dots": (0.002, 4), "pellets": (0.02, 3)}[kind]
        spots = (rng.random((side, side)) < share).astype(float)
        grey = 2.5 * size**2 * ndimage.gaussian_filter(spots, size) - 0.5
        grey = grey if kind == "dots" else np.tanh(grey - 1)
    elif kind == "cells":
        seeds = rng.uniform(0, side, (60, 2))
        grey = np.min([np.hypot(y - cy, x - cx) for cy, cx in seeds], 0) / 12 - 1
    elif kind == "bricks":
        joint = (y % 16 < 2) | ((x + shift + 20 * (y // 16 % 2)) % 40 < 2)
        grey = np.where(joint, -1.5, 0.3)
    elif kind == "wood":
        grain = ndimage.gaussian_filter(noise, (40, 6))
        grey = np.sin(8 * grain / grain.std() + 0.1 * x)
    elif kind == "weave":
        grey = np.where((x // 8 + y // 8) % 2 == 0, np.sin(0.8 * (x + shift)), np.sin(0.8 * y))
    elif kind == "rings":
        grey = np.sin(0.3 * np.hypot(down, across))
    elif kind == "disc":
        grey = np.where(np.hypot(down, across) < 0.3 * side, 1.5, -1.0)
    elif kind == "square":
        grey = np.where(np.maximum(abs(down), abs(across)) < 0.27 * side, 1.5, -1.0)
    elif kind == "ramp":
        grey = across / side * 2 + down / side
    elif kind == "flat":
        grey = np.zeros_like(x)
    else:  # two sizes of blur
        blurred = ndimage.gaussian_filter(noise, {"clouds": 12, "grain": 1.5}[kind])
        grey = blurred / blurred.std()
    grey = 128 + 45 * grey + 6 * rng.standard_normal(noise.shape) + rng.normal(0, 3)
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def part(product: str, k: int, side: int, *, odd: bool = False) -> Picture:
    """A part of the demo line, of another seed than the demo's."""
    rng = np.random.default_rng([815, k, *product.encode()])
    kinds = list(DEFECTS[product])
    return render(product, size=side, rng=rng, defect=kinds[k % len(kinds)] if odd else None)[0]


def spread(samples: Sequence[Sample], most: int) -> list[Sample]:
    return list(samples)[:: max(1, len(samples) // most)][:most]


def pools(data: list[str], side: int) -> Iterator[tuple[str, dict[str, list[Picture]]]]:
    """Name of each product with its training, good and defective test pictures."""
    prepare = Preprocessing(side, side)
    new = range(TRAIN, TRAIN + GOOD)
    for name in PRODUCTS:
        yield (
            name,
            {
                "train": [part(name, k, side) for k in range(TRAIN)],
                "good": [part(name, k, side) for k in new],
                "defective": [part(name, k, side, odd=True) for k in new],
            },
        )
    for name in TEXTURES:
        made = [texture(name, k, side) for k in range(TRAIN + GOOD)]
        yield name, {"train": made[:TRAIN], "good": made[TRAIN:]}
    for root in data:
        data_set = read_data_set(root)
        for name in data_set.products:
            own = data_set.of_products([name])
            test = own.split("test").samples
            chosen = {
                "train": spread([s for s in own.split("train").samples if s.is_good], TRAIN),
                "good": spread([s for s in test if s.is_good], GOOD),
                "defective": spread([s for s in test if not s.is_good], DEFECTIVE),
            }
            yield (
                name,
                {
                    kind: [np.asarray(load_input(s, prepare)[0]) for s in samples]
                    for kind, samples in chosen.items()
                },
            )


def stacked(pictures: Sequence[Picture]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def fitted(pool: dict[str, list[Picture]], name: str, side: int) -> tuple[Trio, dict[str, Tensor]]:
    """A trio of one product, and patch features ``(n, D, h, w)`` of its test pictures by kind."""
    method = Trio(TrioConfig(groups=1), build_teacher(), (side, side)).eval()
    rng = np.random.default_rng(0)
    kinds = list(KINDS)
    tests = {kind: own for kind, own in pool.items() if kind != "train"}
    tests["planted"] = [
        plant_anomaly(one, rng, kind=kinds[k % len(kinds)])[0] for k, one in enumerate(pool["good"])
    ]
    tests["darker"] = [(one * rng.uniform(LIGHT, 1) + 0.5).astype(np.uint8) for one in pool["good"]]
    with torch.inference_mode():
        train = stacked(pool["train"])
        method.fit_statistics([Batch(images=some) for some in train.split(8)])
        method.products = (name,)
        features = {
            kind: torch.cat([method.features(method.teacher(s)).half() for s in all_.split(8)])
            for kind, all_ in ((kind, stacked(own)) for kind, own in tests.items())
        }
    return method, features


def together(trios: dict[str, Trio], names: list[str]) -> Trio:
    """One trio of several products that takes features for the teacher's levels."""
    first = trios[names[0]]
    method = copy.deepcopy(first, {id(first.teacher): first.teacher})
    for name in names[1:]:
        put_product_beside(method, trios[name], name)
    method.features = torch.Tensor.float  # type: ignore[method-assign, assignment]
    return method


def judged(
    trios: dict[str, Trio], features: dict[str, dict[str, Tensor]], pool: list[str], count: int
) -> dict[str, object]:
    """What trios of ``count`` of the products in ``pool`` call pictures, by kind."""
    rng = np.random.default_rng(count)
    called: dict[str, Counter[str]] = {}
    missed: Counter[str] = Counter()
    for left in pool:
        for _ in range(TIMES):
            others = [name for name in pool if name != left]
            known = rng.choice(others, count, replace=False).tolist()
            method = together(trios, known)
            for name in (left, *known):
                for kind, own in features[name].items():
                    if name == left and kind in ("planted", "darker"):
                        continue
                    who = f"{'foreign' if name == left else 'known'} {kind}"
                    seen = called.setdefault(who, Counter())
                    for some in own.split(16):
                        with torch.inference_mode():
                            output = method.measure(cast(Sequence[Tensor], some))
                        assert output.product is not None
                        assert output.rival is not None
                        for place in output.product.tolist():
                            says = "unknown" if place < 0 else known[place]
                            seen["own" if says == name else says if place < 0 else "other"] += 1
                            if says != ("unknown" if name == left else name):
                                missed[f"{kind} {name} is {says}"] += 1
                        seen["doubted"] += int((output.rival >= 0).sum())
    return {
        **{who: shares(seen) for who, seen in called.items()},
        "foreign": shares(sum((s for w, s in called.items() if w[0] == "f"), Counter())),
        "known": shares(
            sum((s for w, s in called.items() if w[0] == "k" and "dark" not in w), Counter())
        ),
        "missed": dict(missed.most_common()),
    }


def shares(seen: Counter[str]) -> dict[str, float]:
    total = seen["own"] + seen["other"] + seen["unknown"]
    kinds = ("own", "other", "unknown", "doubted")
    return {"pictures": total, **{kind: round(seen[kind] / total, 4) for kind in kinds}}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("result", type=Path)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--side", type=int, default=256)
    options = parser.parse_args()
    trios, features = {}, {}
    for name, pool in pools(options.data, options.side):
        if name not in trios:  # the first of a name
            trios[name], features[name] = fitted(pool, name, options.side)
            print(name, {kind: len(own) for kind, own in features[name].items()}, flush=True)
    content: dict[str, object] = {"side": options.side}
    for label, wanted in (("chosen on", True), ("fresh", False)):
        names = sorted(name for name in trios if (name in CHOSEN_ON) is wanted)
        content[label] = {
            "products": names,
            **{str(count): judged(trios, features, names, count) for count in COUNTS},
        }
        print(label, json.dumps(content[label], indent=1), flush=True)
    write_result(options.result, content)


if __name__ == "__main__":
    main()
