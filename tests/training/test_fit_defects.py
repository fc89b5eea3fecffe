"""Labelled defects through the door: who uses them, who does not, and what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.errors import ConfigError, DataError
from blemish.methods.rd.model import RD

CPU = TrainingOptions(device="cpu")

Pixels = NDArray[np.uint8]
BRIEF = {"steps": 2, "batch_size": 4, "distance_steps": 2}


def fit(detector: Detector, data: Any, **options: Any) -> Any:
    return detector.fit(
        data, false_alarm_rate=0.3, training=CPU, progress=Progress(quiet=True), **options
    ).fit_report


def test_a_method_for_good_images_says_that_it_cannot_use_them(
    good_parts: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blemish.training.train.train", lambda *a, **k: pytest.fail("it trained"))
    for method in ("rd", "hfr"):
        with pytest.raises(ConfigError, match=f"{method} learns from good images only.*anomem"):
            fit(Detector(method), good_parts, defects=good_parts[:2])

    class Mine(RD):
        """Has no name by which it could be looked up."""

    with pytest.raises(ConfigError, match="Mine learns from good images only"):
        fit(Detector(Mine), good_parts, defects=good_parts[:2])


def test_defects_train_and_neither_calibrate_nor_count_as_good(
    part_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import blemish.training.train as training

    trained: list[tuple[str, Any]] = []
    train = training.train

    def watch(method: Any, samples: Any, *args: Any, **kwargs: Any) -> Any:
        trained.extend((s.path.parent.name, s.label) for s in samples)
        return train(method, samples, *args, **kwargs)

    monkeypatch.setattr(training, "train", watch)
    root = part_folder(tmp_path / "part", train=8)
    (root / "test" / "stain" / "02.png").write_text("no image")
    detector = Detector("anomem", image_size=64, settings=BRIEF)
    report = fit(detector, root, defects=root / "test" / "stain")
    assert trained.count(("stain", 1)) == 3
    assert trained.count(("good", 0)) == 6
    assert (report.training_images, report.calibration_images, report.labelled_defects) == (6, 2, 2)
    assert [path.name for path, _ in report.failures] == ["02.png"]
    assert detector.training["labelled_defects"] == 2


def test_an_image_cannot_be_good_and_defective(
    part_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = part_folder(tmp_path / "part", train=4)
    detector = Detector("anomem", image_size=64, settings=BRIEF)
    both = root / "train" / "good" / "00.png"
    with pytest.raises(DataError, match=r"00\.png is among the good images and among the labelled"):
        fit(detector, root, defects=[both])
