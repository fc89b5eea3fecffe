"""Which of reverse distillation's departures from the paper carry: on products, and without each.

    python benchmarks/choose_trunk.py RESULT.json DATA [DATA …] --steps 300

``elpv`` stands for the installed solar cells. Every product of every data set is learned by itself,
or with ``--one-for-all`` all by one model, with the light student, once for each of five trainings:
standardised and raw channels, each with positions weighed by their own distance (``focus``) and
with the paper's plain mean, and raw ones with the cosine of the flattened level, as the authors'
code has it; ``--trainings "standardised own,raw own"`` compares channels alone, by another method's
own loss, and ``--trainings "raw own" --with residual=false`` the method as it is with it as one
setting says. Each is then read with the levels' maps balanced and as they come, which training does
not depend on. Up to 60 good training pictures, 50 good and 50 defective test pictures of a product,
8 pictures a step, one seed; the figure is image AUROC.

Then leave-one-product-out: the variant that is best on average over all other products, and what
it loses on the one left out against that product's best. Trainings that RESULT.json holds are not
done again, so that it grows over several calls; the table goes to standard output.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.data.images.preprocess import Preprocessing
from blemish.data.layouts import read_data_set
from blemish.data.layouts.lists import packaged_elpv
from blemish.data.sample import DataSet, Sample
from blemish.data.sources import good_training_samples
from blemish.methods.rd.config import RDConfig
from blemish.methods.rd.model import RD
from blemish.methods.reconstruction import Reconstruction
from blemish.methods.registry import method_class
from blemish.methods.settings import parse_settings
from blemish.methods.speeds import PROTOCOL
from blemish.metrics import auroc
from blemish.teachers.teacher import Teacher, build_teacher
from blemish.training.batches import TrainingBatches, training_batches
from blemish.training.stage import run_stage

TRAINED, TESTED, SEED, BATCH = 60, 50, 0, 8
#: What the paper, the authors' code and the first light preset state of the loss.
LOSSES: dict[str, dict[str, Any]] = {
    "focus": {"focus": 1.0},
    "plain": {"focus": 0.0},
    "flat": {"focus": 0.0, "flat_loss": True},
    "own": {},  # as the method has it
}
TRAININGS = {
    f"{channels} {loss}": {"standardise": channels == "standardised", **LOSSES[loss]}
    for channels, losses in (
        ("standardised", ("focus", "plain", "own")),
        ("raw", ("focus", "plain", "flat", "own")),
    )
    for loss in losses
}


def settings_of(training: str) -> dict[str, Any]:
    """Of one of :data:`TRAININGS`, and behind a semicolon of one setting that is otherwise."""
    usual, *otherwise = training.split("; ")
    return {**TRAININGS[usual], **dict(part.split("=", 1) for part in otherwise)}


def draw(samples: list[Sample], most: int, rng: np.random.Generator) -> list[Sample]:
    return [samples[at] for at in sorted(rng.permutation(len(samples))[:most])]


def measure(
    name: str,
    training: str,
    data: TrainingBatches,
    size: tuple[int, int],
    teacher: Teacher,
    steps: int,
) -> dict[str, dict[str, float]]:
    """Image AUROC by product, with balanced levels and as they come, and the training's seconds."""
    started = time.monotonic()
    torch.manual_seed(SEED)
    settings = {"steps": steps, "batch_size": BATCH, **settings_of(training)}
    build = method_class(name)
    method = build(parse_settings(build.config_class, settings), teacher, size)
    assert isinstance(method, Reconstruction)
    train = [row for row, sample in enumerate(data.samples) if sample.split != "test"]
    tests = [row for row, sample in enumerate(data.samples) if sample.split == "test"]
    with torch.inference_mode():
        method.prepare(data.in_order(train, 16))
    with tempfile.TemporaryDirectory() as folder:
        run_stage(
            method,
            method.stages()[0],
            data,
            train,
            Path(folder) / "stage.ckpt",
            seed=(SEED, 0),
            device="cpu",
            precision="32-true",
            checkpoint_seconds=1e9,
            progress=Progress(quiet=True),
        )
    method.eval()
    figures: dict[str, dict[str, float]] = {data.samples[row].product: {} for row in tests}
    labels = np.array([data.labels[row] for row in tests])
    with torch.inference_mode():
        errors = [method.errors(batch.features or ()) for batch in data.in_order(tests, 16)]
        for name in ("as they come", "balanced"):
            if name == "balanced":
                method.fit_statistics(data.in_order(train, 16))
            maps = torch.cat([method.fusion(method.balance(levels)) for levels in errors])
            scores = maps.flatten(1).amax(1).double().numpy()
            for product, own in figures.items():
                mine = np.array([data.samples[row].product == product for row in tests])
                own[name] = auroc(scores[mine], labels[mine])
    seconds = round(time.monotonic() - started, 1)
    return {product: {**own, "seconds": seconds} for product, own in figures.items()}


def prepared(
    group: list[DataSet], teacher: Teacher, folder: Path
) -> tuple[TrainingBatches, tuple[int, int]]:
    """Features of the pictures of some products, those that train and the tested ones."""
    chosen: list[Sample] = []
    sizes: list[tuple[int, int]] = []
    for own in group:
        rng = np.random.default_rng(SEED)
        good, found = good_training_samples(own, [])
        tests = own.split("test").samples
        chosen += draw(list(good), TRAINED, rng)
        chosen += draw([s for s in tests if s.label == 0], TESTED, rng)
        chosen += draw([s for s in tests if s.label == 1], TESTED, rng)
        sizes += found[:TRAINED]
    size = PROTOCOL.input_size(RDConfig(), sizes)
    data = training_batches(
        RD(RDConfig(), teacher, size),
        chosen,
        Preprocessing(*size),
        folder,
        8 * 2.0**30,
        progress=Progress(),
        failures=[],
    )
    return data, size


def variants(own: dict[str, dict[str, float]], trainings: list[str]) -> dict[str, float]:
    """Image AUROC by the name of a training and how its levels are read."""
    return {
        f"{training}, {reading}": own[training][reading]
        for training in trainings
        for reading in ("balanced", "as they come")
    }


def complete(
    products: dict[str, dict[str, Any]], trainings: list[str]
) -> dict[str, dict[str, float]]:
    """The variants of every product of which all trainings are there."""
    done = {name: own for name, own in products.items() if own.keys() >= set(trainings)}
    return {name: variants(own, trainings) for name, own in done.items()}


def left_out(products: dict[str, dict[str, float]]) -> dict[str, dict[str, Any]]:
    """What is chosen on the other products, and lost by it in image AUROC."""
    chosen = {}
    for product, own in products.items():
        others = [figures for name, figures in products.items() if name != product]
        best = max(own, key=lambda name: float(np.mean([figures[name] for figures in others])))
        chosen[product] = {"chosen": best, "lost": max(own.values()) - own[best]}
    return chosen


def table(products: dict[str, dict[str, float]]) -> str:
    """Markdown: image AUROC of every variant and product, in percent."""
    lines = ["| variant | " + " | ".join(products) + " | mean |"]
    lines.append("|---|" + "---:|" * (len(products) + 1))
    for name in next(iter(products.values()), {}):
        row = [100 * figures[name] for figures in products.values()]
        cells = " | ".join(f"{value:.1f}" for value in (*row, float(np.mean(row))))
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--method", default="rd", help="one that rebuilds a teacher's levels")
    parser.add_argument("--trainings", default="", help="only these, separated by commas")
    parser.add_argument("--with", dest="otherwise", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--products", default="", help="only these, separated by commas")
    parser.add_argument("--one-for-all", action="store_true", help="one model for all of them")
    given = parser.parse_args()
    how = f" --method {given.method} --steps {given.steps}" + " --one-for-all" * given.one_for_all
    content: dict[str, Any] = {
        "command": f"python benchmarks/choose_trunk.py RESULT DATA …{how}",
        "method": given.method,
        "steps": given.steps,
        "seed": SEED,
        "products": {},
    }
    if given.result.is_file():
        content |= {"products": json.loads(given.result.read_text())["products"]}
    usual = [name for name in TRAININGS if not name.endswith("own")]
    wanted = given.trainings.split(",") if given.trainings else usual
    wanted += [f"{wanted[-1]}; {setting}" for setting in given.otherwise]
    teacher = build_teacher()
    chosen = set(given.products.split(",")) if given.products else None
    products = [
        data_set.of_products([product])
        for data_set in (read_data_set(packaged_elpv() if r == "elpv" else r) for r in given.data)
        for product in data_set.products
        if chosen is None or product in chosen
    ]
    measured = content["products"]
    for group in [products] if given.one_for_all else [[product] for product in products]:
        names = [name for data_set in group for name in data_set.products]
        missing = [one for one in wanted if not all(one in measured.get(n, {}) for n in names)]
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as folder:
            data, size = prepared(group, teacher, Path(folder))
            for training in missing:
                found = measure(given.method, training, data, size, teacher, given.steps)
                for name, figures in found.items():
                    measured.setdefault(name, {})[training] = figures
                    print(name, size, training, figures, flush=True)
                write_result(given.result, content)
    whole = complete(measured, wanted)
    content["left_out"] = left_out(whole) if len(whole) > 1 else {}
    write_result(given.result, content)
    print(table(whole))
    for product, row in content["left_out"].items():
        print(f"without {product}: {row['chosen']}, {100 * row['lost']:.1f} below its best")


if __name__ == "__main__":
    main()
