"""What is odd about good pictures is said before they train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish._progress import Progress
from blemish.data.sample import Sample
from blemish.training.first_look import first_look
from brief_detector import CPU, brief


def write(folder: Path, count: int, **kind: object) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for index in range(count):
        values = rng.integers(1000, 4096, (40, 40)).astype(np.uint16)
        Image.fromarray(values if not kind else (values // 16).astype(np.uint8)).save(
            folder / f"{index}.tif"
        )
    return folder


def test_twelve_bits_are_said_before_the_training_and_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "part" / "good", 6)
    progress = Progress()
    detector = brief().fit(folder, false_alarm_rate=0.3, training=CPU, progress=progress)
    said = capsys.readouterr().err
    sentence = next(note for note in detector.fit_report.notes if "--bit-depth 12" in note)
    assert said.count(sentence) == 1
    assert said.index(sentence) < said.index("Calibrating")
    progress.say(detector.fit_report.notes)
    assert sentence not in capsys.readouterr().err
    detector = brief(bit_depth=12).fit(folder, false_alarm_rate=0.3, training=CPU)
    assert not any("--bit-depth" in note for note in detector.fit_report.notes)


def test_unreadable_pictures_are_said_elsewhere(tmp_path: Path) -> None:
    folder = write(tmp_path / "good", 3, eight=True)
    (folder / "1.tif").write_bytes(b"no image")
    samples = [Sample(path, "nut", "train", 0) for path in sorted(folder.iterdir())]
    assert first_look(samples, bit_depth=16) == []


@pytest.mark.parametrize("side", [16, 64])
def test_small_and_mixed_pictures_train(tmp_path: Path, side: int) -> None:
    rng = np.random.default_rng(1)
    folder = tmp_path / "part" / "good"
    folder.mkdir(parents=True)
    for index, mode in enumerate(["L", "RGB", "RGBA", "16"] * 3):
        grey = rng.integers(90, 110, (side, side)).astype(np.uint8)
        deep = Image.fromarray(grey.astype(np.uint16) * 257)
        picture = deep if mode == "16" else Image.fromarray(grey).convert(mode)
        picture.save(folder / f"{index}.png")
    quiet = Progress(quiet=True)
    detector = brief().fit(folder, false_alarm_rate=0.3, training=CPU, progress=quiet)
    report = detector.fit_report
    assert report.training_images + report.calibration_images == 12
    assert not report.failures
    assert not any("picture is" in note or "bit-depth" in note for note in report.notes)
    (prediction,) = detector.predict(folder / "3.png")
    assert np.isfinite(prediction.score)
    assert prediction.anomaly_map.shape == (side, side)
