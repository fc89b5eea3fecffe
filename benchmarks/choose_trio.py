"""Which combination of the trio's measures is better: over products, and chosen without each one.

    python benchmarks/choose_trio.py RESULT.json DATA [DATA …] --side 384

Every product of every data set is learned by itself from its good training images but a few, up to
16, which are held out to plant anomalies into; limits come from the others' out-of-fold scores. For
each variant, a way to make one score of the memory's, the Gaussians' and the layout's deviations,
the figures of a product are: image AUROC on its test images, the same of the held-out images with
and without a planted anomaly, and the share of defects found, and of good parts stopped, at limits
for 5 % and 1 %.

Then leave-one-product-out: the variant that is best on all other products (mean of image AUROC and
of the share found at 5 %), and what it loses on the one left out against that product's best. Test
images of a product never choose for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.calibration.conformal import limit_at
from blemish.data.images.preprocess import Preprocessing, choose_input_size
from blemish.data.layouts import read_data_set
from blemish.data.planted import KINDS, plant_anomaly
from blemish.data.sample import DataSet, Sample
from blemish.data.sources import load_input
from blemish.methods.base import Batch
from blemish.methods.trio.config import TrioConfig
from blemish.methods.trio.model import Trio
from blemish.methods.trio.weighing import oddness, usual_share
from blemish.metrics import auroc
from blemish.teachers.teacher import Teacher, build_teacher

MOST, PLANTED, SEED = 300, 16, 0


class Deviations(NamedTuple):
    """Of pictures: the memory's and the Gaussians' ``(n, P)``, the layout's ``(n, regions)``.

    ``usual`` is the memory's share of a patch's oddness that the number of good pictures asks for.
    """

    memory: Tensor
    gaussian: Tensor
    layout: Tensor
    usual: float


def _highest(local: Tensor) -> Tensor:
    return local.amax(1)


def _mixed(d: Deviations, share: float) -> Tensor:
    return _highest(oddness(d.memory, d.gaussian, share))


Parts = Callable[[Deviations], list[Tensor]]
#: For each variant the scores ``(n,)`` that are standardised, and the weight of the second.
VARIANTS: dict[str, tuple[Parts, float]] = {
    "memory": (lambda d: [_highest(d.memory)], 0.0),
    "gaussian": (lambda d: [_highest(d.gaussian)], 0.0),
    "layout": (lambda d: [_highest(d.layout)], 0.0),
    "memory + gaussian": (lambda d: [_highest((d.memory + d.gaussian) / 2)], 0.0),
    **{
        f"memory + gaussian, layout {weight}": (
            lambda d: [_highest((d.memory + d.gaussian) / 2), _highest(d.layout)],
            weight,
        )
        for weight in (0.3, 0.4, 0.5, 0.7, 1.0)
    },
    **{
        f"memory {share:.0%}, layout 0.4": (
            lambda d, share=share: [_mixed(d, share), _highest(d.layout)],  # type: ignore[misc]
            0.4,
        )
        for share in (0.6, 0.7, 0.8)
    },
    "memory by number of pictures, layout 0.4": (
        lambda d: [_mixed(d, d.usual), _highest(d.layout)],
        0.4,
    ),
    "the same, places' deviations as they are": (
        lambda d: [_highest(d.usual * d.memory + (1 - d.usual) * d.gaussian), _highest(d.layout)],
        0.4,
    ),
    "memory + gaussian top 3, layout 0.4": (
        lambda d: [
            ((d.memory + d.gaussian) / 2).topk(3, 1).values.mean(1),
            _highest(d.layout),
        ],
        0.4,
    ),
    "kinder of the two, layout 0.4": (
        lambda d: [_highest(torch.minimum(d.memory, d.gaussian)), _highest(d.layout)],
        0.4,
    ),
}


def batches(images: list[NDArray[np.uint8]]) -> Iterator[Batch]:
    for start in range(0, len(images), 8):
        stacked = np.stack(images[start : start + 8])
        yield Batch(images=torch.from_numpy(stacked).permute(0, 3, 1, 2))


class Recorded(Trio):
    """The trio, with what its three measures said of the good images and of the last ones."""

    def fit_recording(self, images: list[NDArray[np.uint8]]) -> Deviations:
        self.fit_statistics(batches(images))
        own, part = self._good[0].measures, self._good[0].part
        self._usual = usual_share(len(part.unique()))
        return Deviations(own.memory, own.place, own.layout[:, None], self._usual)

    def measured(self, images: list[NDArray[np.uint8]]) -> Deviations:
        found: list[list[Tensor]] = [[], [], []]
        hooks = [
            # The memory has its distances twice, and what decides comes first.
            measure.register_forward_hook(
                lambda _m, _i, out, to=to: to.append(out if isinstance(out, Tensor) else out[0])
            )
            for measure, to in zip((self.memory, self.gaussian, self.layout), found, strict=True)
        ]
        for batch in batches(images):
            self(batch.images)
        for hook in hooks:
            hook.remove()
        memory, place, layout = map(torch.cat, found)
        return Deviations(memory, place, layout, self._usual)


def scores(parts: list[Tensor], good: list[Tensor], weight: float) -> NDArray[np.float64]:
    """One score of each picture, in deviations of good ones, as the trio makes it."""
    standard = [
        (part - own.median()) / own.std(correction=0).clamp_min(0.1)
        for part, own in zip(parts, good, strict=True)
    ]
    if len(standard) == 1:
        return standard[0].double().numpy()
    return torch.logaddexp(standard[0], weight * standard[1]).double().numpy()


def above(limit_from: NDArray[np.float64], rate: float, tested: NDArray[np.float64]) -> float:
    """Share of the tested beyond the limit that good scores set."""
    return float((tested > limit_at(rate, np.sort(limit_from).tolist())).mean())


def measure_product(data: DataSet, teacher: Teacher, side: int) -> dict[str, dict[str, float]]:
    """Figures of every variant on one product."""
    rng = np.random.default_rng(SEED)
    good = [s for s in data.samples if s.is_good and s.split in ("train", "validation")]
    good = [good[at] for at in sorted(rng.permutation(len(good))[:MOST])]
    tests = [s for s in data.split("test").samples if s.label is not None]
    prepare = Preprocessing(*choose_input_size([source(s) for s in good], side=side))

    def load(chosen: list[Sample]) -> list[NDArray[np.uint8]]:
        return [np.asarray(load_input(sample, prepare)[0]) for sample in chosen]

    held = len(good) - min(PLANTED, len(good) // 5)
    pictures = load([good[at] for at in rng.permutation(len(good))])
    pictures, clean = pictures[:held], pictures[held:]
    planted = [plant_anomaly(one, rng, kind=kind)[0] for one in clean for kind in KINDS]
    torch.manual_seed(SEED)
    method = Recorded(TrioConfig(groups=1), teacher, prepare.size).eval()
    with torch.inference_mode():
        own = method.fit_recording(pictures)
        new, odd = method.measured(load(tests)), method.measured([*clean, *planted])
    bad = np.array([not sample.is_good for sample in tests])
    figures = {}
    for name, (parts, weight) in VARIANTS.items():
        base = parts(own)
        of_good, of_tests, of_planted = (scores(parts(d), base, weight) for d in (own, new, odd))
        figures[name] = {
            "image_auroc": auroc(of_tests, bad.astype(int)),
            "planted_auroc": auroc(of_planted, np.repeat([0, 1], [len(clean), len(planted)])),
            **{
                f"{what}_at_{rate:g}": above(of_good, rate, of_tests[kind])
                for rate in (0.05, 0.01)
                for what, kind in (("found", bad), ("stopped", ~bad))
            },
        }
    return figures


def source(sample: Sample) -> tuple[int, int]:
    from PIL import Image

    with Image.open(sample.path) as image:
        return image.size[1], image.size[0]


def left_out(products: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, Any]]:
    """What is chosen on the other products, and lost by it in image AUROC."""

    def worth(name: str, among: list[str]) -> float:
        figures = [products[product][name] for product in among]
        return float(np.mean([own["image_auroc"] + own["found_at_0.05"] for own in figures]))

    chosen = {}
    for product, own in products.items():
        others = [p for p in products if p != product]
        best = max(VARIANTS, key=lambda name: worth(name, others))
        top = max(figures["image_auroc"] for figures in own.values())
        chosen[product] = {"chosen": best, "lost": top - own[best]["image_auroc"]}
    return chosen


def table(products: dict[str, dict[str, dict[str, float]]]) -> str:
    """Markdown: the mean over products of every variant, in percent."""
    names = list(next(iter(products.values()))["memory"])
    lines = ["| variant | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for variant in VARIANTS:
        means = [100 * np.mean([p[variant][name] for p in products.values()]) for name in names]
        lines.append(f"| {variant} | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--teacher", default="efficientnet_lite0")
    given = parser.parse_args()
    teacher = build_teacher(given.teacher)
    products: dict[str, dict[str, dict[str, float]]] = {}
    progress = Progress()
    for root in given.data:
        data = read_data_set(root)
        for product in progress.track(data.products, Path(root).name, len(data.products)):
            products[product] = measure_product(data.of_products([product]), teacher, given.side)
    content: dict[str, Any] = {
        "command": f"python benchmarks/choose_trio.py RESULT DATA … --side {given.side} "
        f"--teacher {given.teacher}",
        "data": [Path(root).name for root in given.data],
        "seed": SEED,
        "products": products,
        "left_out": left_out(products),
    }
    write_result(given.result, content)
    print(table(products))
    for product, row in content["left_out"].items():
        print(f"without {product}: {row['chosen']}, {100 * row['lost']:.1f} below its best")


if __name__ == "__main__":
    main()
