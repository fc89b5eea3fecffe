"""What do a few labelled defects of one kind teach, of this kind and of the others?

    python benchmarks/few_defects.py DATA pill crack RESULT.json steps=200 batch_size=32

Learns from the good training images and 0, 2, 5 and 10 labelled defects of one kind, and measures
on the good test images and the defects that remain: the ten images that can be drawn are tested in
none of the runs, so that all runs are tested on the same ones. Runs that the result file holds
already are not repeated.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.benchmark.result_file import write_result
from blemish.data.layouts import read_data_set
from blemish.evaluation.evaluator import Evaluator

COUNTS = (0, 2, 5, 10)
SEEDS = (0, 1)


def main(data: str, product: str, kind: str, result: str, *settings: str) -> None:
    data_set = read_data_set(data).of_products([product])
    changed = dict(setting.split("=") for setting in settings)
    file = Path(result)
    content = json.loads(file.read_text()) if file.is_file() else {"runs": []}
    words = " ".join([Path(data).name, product, kind, file.name, *settings])
    content |= {
        "command": f"python benchmarks/few_defects.py {words}",
        "data": product,
        "labelled_kind": kind,
        "settings": changed,
    }
    done = {(run["labelled"], run["seed"]) for run in content["runs"]}
    for seed in SEEDS:
        pool = [s for s in data_set.split("test").samples if s.defect_kind == kind]
        drawn = np.random.default_rng(seed).permutation(len(pool))[: max(COUNTS)]
        labelled = [pool[row] for row in drawn]
        apart = {sample.path for sample in labelled}
        tested = data_set.split("test").where(lambda s, apart=apart: s.path not in apart)  # type: ignore[misc]
        for count in COUNTS:
            if (count, seed) in done:
                continue
            content["runs"].append(
                {"labelled": count, "seed": seed}
                | _run(data_set, labelled[:count], tested, kind, changed, seed)
            )
            print(content["runs"][-1], flush=True)
            write_result(file, content)


def _run(data_set, labelled, tested, kind, settings, seed):  # type: ignore[no-untyped-def]
    started = time.monotonic()
    detector = Detector("anomem", settings=settings)
    report = detector.fit(
        data_set.split("train"),
        defects=labelled or None,
        training=TrainingOptions(seed=seed, device="cpu"),
        progress=Progress(quiet=True),
    ).fit_report
    everything, new = Evaluator(histogram=True), Evaluator(histogram=True)
    for sample, prediction in detector.judge_test_images(tested):
        everything.add(sample, prediction)
        if sample.defect_kind != kind:
            new.add(sample, prediction)
    (all_kinds,), (others,) = everything.compute().products, new.compute().products
    return {
        "tested": {"good": all_kinds.good, "defective": all_kinds.defective},
        "image_auroc": all_kinds.metrics["image_auroc"],
        "image_auroc_other_kinds": others.metrics["image_auroc"],
        "image_auroc_labelled_kind": all_kinds.kinds[kind].image_auroc,
        "pixel_auroc": all_kinds.metrics["pixel_auroc"],
        "pixel_aupro": all_kinds.metrics["pixel_aupro"],
        "training_images": report.training_images,
        "notes": list(report.notes),
        "seconds": round(time.monotonic() - started, 1),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
