"""What is odd about good pictures is said before they train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from blemish._progress import Progress
from blemish.data.sample import Sample
from blemish.training.first_look import first_look
from brief_detector import CPU, QUIET, brief


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


def test_masks_and_test_pictures_are_looked_at_too(
    tmp_path: Path, draw_part: Callable[..., np.ndarray]
) -> None:
    def save(name: str, pixels: np.ndarray, **options: int) -> None:
        path = tmp_path / "nut" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, **options)

    for seed in range(8):
        save(f"train/good/{seed}.png", draw_part(seed))
    save("test/good/0.png", draw_part(0))  # byte for byte one that trains
    save("test/good/1.jpg", draw_part(1), quality=95)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:30, 20:30] = 255
    soft = np.asarray(Image.fromarray(mask).filter(ImageFilter.GaussianBlur(2)))
    for name, values in (("a", 255 - mask), ("b", soft), ("c", mask)):
        save(f"test/dent/{name}.png", draw_part(ord(name)))
        save(f"ground_truth/dent/{name}.png", values)
    detector = brief().fit(tmp_path / "nut", false_alarm_rate=0.3, training=CPU, progress=QUIET)
    for sentence in (
        "1 of 3 masks mark more than half of the picture: a.png. Are they inverted?",
        "1 of 3 masks have grey borders: b.png.",
        "nearly equal to one in train, so figures on test are too good: good/1.png ≈ good/1.jpg.",
        "1 image is in both train and test, so figures on test are too good: train/good/0.png = ",
    ):
        assert sum(sentence in note for note in detector.fit_report.notes) == 1, sentence


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
