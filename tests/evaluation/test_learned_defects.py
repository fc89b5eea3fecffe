"""What a model has learned from is not measured on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish import Detector
from blemish._progress import Progress
from blemish.data.sample import Sample
from blemish.errors import DataError
from blemish.evaluation.learned_defects import identities, without_learned


@pytest.fixture
def part(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, count in (("train/good", 12), ("test/good", 3), ("test/stain", 5)):
        folder = tmp_path / "nut" / name
        folder.mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(90, 110, (40, 40, 3)).astype(np.uint8)
            if name.endswith("stain"):
                pixels[10:20, 10 + i : 20 + i] = 250
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "nut"


def test_files_are_known_by_content_wherever_they_lie(part: Path, tmp_path: Path) -> None:
    stain = part / "test" / "stain"
    shutil.copy(stain / "0.png", tmp_path / "known.png")
    pixels = np.zeros((8, 8, 3), np.uint8)
    learned = [
        Sample(tmp_path / "known.png", "nut", "train", 1),
        Sample(Path("array#0"), "nut", "train", 1, image=pixels),
    ]
    training: dict[str, Any] = {"labelled_images": list(identities(learned))}
    assert len(training["labelled_images"]) == 1
    tests = [
        Sample(stain / "0.png", "nut", "test", 1),
        Sample(stain / "1.png", "nut", "test", 1),
        Sample(stain / "gone.png", "nut", "test", 1),
        Sample(Path("array#0"), "nut", "test", 1, image=pixels),
    ]
    kept, said = without_learned(tests, training)
    assert kept == tests[1:]
    assert said.startswith("1 of the 4 test images")
    assert without_learned(tests, {}) == (tests, "")


def test_a_fit_says_what_it_learned_from_and_evaluation_leaves_it_out(part: Path) -> None:
    stain = part / "test" / "stain"
    known = [stain / f"{i}.png" for i in range(3)]
    detector = Detector(teacher_weights="random", image_size=64)
    report = detector.fit(
        part, defects=known, false_alarm_rate=0.3, progress=Progress(quiet=True)
    ).fit_report
    assert report.labelled_defects == len(report.labelled_images) == 3
    assert any("3 labelled defects" in note for note in report.notes)
    told: list[str] = []
    evaluation = detector.evaluate(part, on_note=told.append)
    assert (evaluation.products[0].good, evaluation.products[0].defective) == (3, 2)
    assert told == [
        "3 of the 8 test images are labelled defects that the model has learned from, and are left "
        "out: of new ones they say nothing."
    ]
    with pytest.warns(UserWarning, match="3 of the 8 test images"):
        assert len(list(detector.judge_test_images(part))) == 5


def test_where_nothing_is_left_it_is_refused(part: Path) -> None:
    detector = Detector(teacher_weights="random", image_size=64)
    detector.fit(
        part,
        defects=part / "test" / "stain",
        false_alarm_rate=0.3,
        progress=Progress(quiet=True),
    )
    shutil.rmtree(part / "test" / "good")
    with pytest.raises(DataError, match="Nothing is left to measure"):
        detector.evaluate(part, on_note=lambda note: None)
