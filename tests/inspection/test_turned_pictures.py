"""A camera held sideways: picture, mask, boxes, CSV and report speak of the same, upright frame."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.data.layouts import read_data_set
from blemish.detector import Detector
from blemish.outputs.run import Outputs, judge_into
from blemish.report.report import make_report
from brief_detector import QUIET, fit

UPRIGHT = (192, 128)  # (H, W)
STAIN = (slice(16, 48), slice(80, 112))  # up, and to the right


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> tuple[Detector, Path]:
    """JPEGs that lie on their side and say so (orientation 6), and an upright mask."""
    root = tmp_path_factory.mktemp("turned") / "part"
    rng = np.random.default_rng(0)

    def save(name: str, *, stained: bool = False) -> None:
        pixels = rng.integers(95, 105, (*UPRIGHT, 3)).astype(np.uint8)
        if stained:
            pixels[STAIN] = 255
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = 6  # to be shown turned clockwise
        lying = np.ascontiguousarray(np.rot90(pixels))
        Image.fromarray(lying).save(path, quality=95, exif=exif)

    for index in range(12):
        save(f"good/{index}.jpg")
    for index in range(2):
        save(f"good_test/{index}.jpg")
    save("stain/0.jpg", stained=True)
    mask = np.zeros(UPRIGHT, np.uint8)
    mask[STAIN] = 255
    (root / "masks/stain").mkdir(parents=True)
    Image.fromarray(mask).save(root / "masks/stain/0.png")
    detector = Detector("trio", teacher_weights="random", image_size=UPRIGHT)
    fit(detector, root)
    return detector, root


def test_boxes_csv_evaluation_and_report_are_in_one_frame(
    line: tuple[Detector, Path], tmp_path: Path
) -> None:
    detector, root = line
    data_set = read_data_set(root)
    picture = root / "stain" / "0.jpg"
    (prediction,) = detector.predict(picture)
    assert prediction.anomaly_map.shape == UPRIGHT
    left, top, right, bottom = prediction.regions[0].box
    row, column = np.unravel_index(prediction.anomaly_map.argmax(), UPRIGHT)
    # Lying, it would be to the left and below.
    assert row < UPRIGHT[0] // 2
    assert column > UPRIGHT[1] // 2
    assert top <= row < bottom
    assert left <= column < right
    with Outputs(detector, root=root, csv=tmp_path / "v.csv") as outputs:
        judge_into(outputs, data_set.where(lambda s: s.label == 1).samples, progress=QUIET)
    (line_of,) = csv.DictReader((tmp_path / "v.csv").read_text(encoding="utf-8").splitlines())
    sides = ("left", "top", "right", "bottom")
    assert [int(line_of[f"region_{side}"]) for side in sides] == [left, top, right, bottom]
    (product,) = detector.evaluate(data_set).products
    assert (product.masked, product.problems) == (1, ())
    assert product.metrics["pixel_auroc"] > 0.9
    report = make_report(detector, data_set, pictures=1, progress=QUIET)
    assert [found.located for found in report.products[0].defective] == [True]
