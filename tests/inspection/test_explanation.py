"""The box and the sentence that explain a logical verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blemish.calibration import CalibrationRecord, calibrate
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.inspection.network import NetworkOutput
from blemish.inspection.prediction import explain, make_prediction, place
from blemish.results import Branch, Prediction


def departure(*cells: tuple[int, int], size: tuple[int, int] = (8, 8)) -> np.ndarray:
    values = np.full(size, -0.5, np.float32)
    for row, column in cells:
        values[row, column] = 2.0
    return values


def test_the_box_is_that_of_the_largest_departure_in_source_pixels() -> None:
    values = departure((2, 3), (2, 4), (7, 0))
    values[2, 4] = 3.0
    values[7, 0] = 1.6  # above half, but apart from the largest
    found = explain(
        values, branch="logical", preprocessing=Preprocessing(64, 64), source_size=(320, 320)
    )
    assert found is not None
    assert found.box == (120, 80, 200, 120)
    assert "top centre" in found.sentence
    assert found.branch == "logical"


def test_the_field_around_an_oblong_image_is_never_pointed_at() -> None:
    # 100 x 200 inside 64 x 64: rows 16..47 of the input, cells 2..5.
    prepare = Preprocessing(64, 64)
    values = departure((0, 1), (2, 6))
    values[0, 1] = 9.0
    found = explain(values, branch="logical", preprocessing=prepare, source_size=(100, 200))
    assert found is not None
    assert found.box == (150, 0, 175, 25)
    outside = explain(
        departure((0, 1)), branch="logical", preprocessing=prepare, source_size=(100, 200)
    )
    assert outside is None


def test_where_nothing_departs_nothing_is_said() -> None:
    prepare = Preprocessing(64, 64)
    for values in (np.zeros((4, 4), np.float32), np.full((4, 4), np.nan, np.float32)):
        assert (
            explain(values, branch="logical", preprocessing=prepare, source_size=(64, 64)) is None
        )


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((0, 0, 10, 10), "top left"),
        ((90, 90, 100, 100), "bottom right"),
        ((0, 45, 10, 55), "left"),
        ((0, 0, 100, 100), "centre"),
    ],
)
def test_places_have_names(box: tuple[int, int, int, int], words: str) -> None:
    assert place(box, (100, 100)) == words


def judged(score: float, branches: dict[str, float], *, known: tuple[str, ...]) -> Prediction:
    limits = calibrate(
        CalibrationRecord(None, score=s, peak=s, branches=dict.fromkeys(known, s))
        for s in np.linspace(0, 1, 99).tolist()
    )
    return make_prediction(
        Sample(Path("a.png"), "", "test", None),
        NetworkOutput(
            np.zeros((1, 64, 64), np.float32),
            np.array([score]),
            {name: np.array([value]) for name, value in branches.items()},
            departure((1, 1))[None],
        ),
        source_size=(64, 64),
        preprocessing=Preprocessing(64, 64),
        calibration=limits,
    )


def test_only_an_objecting_logical_branch_is_explained() -> None:
    both = ("structural", "logical")
    quiet = judged(2.0, {"structural": 2.0, "logical": 0.2}, known=both)
    assert {n: b.verdict for n, b in quiet.branches.items()} == {
        "structural": "defect",
        "logical": "ok",
    }
    assert quiet.explanation is None
    loud = judged(0.2, {"structural": 0.2, "logical": 2.0}, known=both)
    assert loud.branches["logical"].verdict == "defect"
    assert loud.explanation is not None
    # A single branch is the verdict itself.
    assert judged(2.0, {}, known=()).explanation is not None
    assert judged(0.2, {}, known=()).explanation is None


def test_a_branch_the_limits_do_not_know_has_no_verdict() -> None:
    found = judged(0.2, {"logical": 2.0}, known=())
    assert dict(found.branches) == {"logical": Branch(2.0)}
