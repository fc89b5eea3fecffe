"""Products that the model never learned are measured, and in none of the headline's figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from blemish.data.sample import DataSet, Sample
from blemish.evaluation.as_json import evaluation_json
from blemish.report.report import make_report, render_page
from blemish.report.summary import summary_cards
from brief_detector import QUIET, brief, fit


def parts(product: str, count: int, level: int) -> list[Sample]:
    rng = np.random.default_rng(level)
    pixels = rng.integers(level, level + 20, (count, 64, 64, 3)).astype(np.uint8)
    return [
        Sample(Path(f"{product}#{i}"), product, "test", i % 2, image=image)
        for i, image in enumerate(pixels)
    ]


def test_they_are_in_no_mean_and_on_a_card_of_their_own() -> None:
    good = tuple(replace(s, split="train", label=0) for s in parts("nut", 12, 90))
    detector = brief()
    fit(detector, DataSet("array", Path("line"), good))
    learned, other = parts("nut", 6, 90), parts("lid", 20, 10)
    both = DataSet("array", Path("line"), (*learned, *other))
    alone = detector.evaluate(DataSet("array", Path("line"), tuple(learned)))
    evaluation = detector.evaluate(both)
    assert evaluation.unlearned == ("lid",)
    assert [r.product for r in evaluation.products] == ["nut", "lid"]
    assert evaluation.mean == alone.mean
    assert evaluation.covered["image_auroc"] == 1
    assert json.loads(evaluation_json(evaluation))["products_not_learned"] == ["lid"]
    report = make_report(detector, both, pictures=0, progress=QUIET)
    stopped, missed, unlearned, *_ = summary_cards(report)
    assert stopped.figure.endswith(" of 3")
    assert missed.figure.endswith(" of 3")
    assert unlearned.title == "Not learned"
    assert "20 images of 1 product that the model never learned" in unlearned.sentence
    assert "lid" in unlearned.sentence
    assert b"Measured on 6 labelled test images of 1 product" in render_page(report)
    nothing_known = detector.evaluate(DataSet("array", Path("line"), tuple(other)))
    assert nothing_known.unlearned == ()
    assert nothing_known.covered["image_auroc"] == 1
