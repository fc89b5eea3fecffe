"""What folders hold, said on the command line, and printed as it was read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

BRIEF = ("--size", "32", "--device", "cpu", "--teacher-weights", "random")


@pytest.fixture
def line(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for folder, count in (("fine", 10), ("later", 4), ("stained", 3)):
        for index in range(count):
            pixels = rng.integers(90, 110, (40, 40)).astype(np.uint8)
            if folder == "stained":
                pixels[10:20, 10:20] = 250
            path = tmp_path / "line" / folder / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    mask = np.zeros((40, 40), np.uint8)
    mask[10:20, 10:20] = 255
    for index in range(3):
        path = tmp_path / "drawn" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(mask).save(path)
    return tmp_path / "line"


def test_folders_are_said_in_fit_evaluate_report_and_describe(
    blemish: Any, refused: Any, line: Path, tmp_path: Path
) -> None:
    said = ("--good", "fine", "--good", "later", "--test", "later", "--defects", "stained")
    said = (*said, "--masks", tmp_path / "drawn")
    result = blemish("fit", line, *said, *BRIEF, "-o", "m.blemish")
    assert result.returncode == 0, result.stderr
    assert "Read as good, for training: 10 images in fine/" in result.stdout
    assert "Read as good, for testing: 4 images in later/" in result.stdout
    assert "Read as defects, for testing: 3 images in stained/" in result.stdout
    assert "Read as masks: 3 for 3 images with defects" in result.stdout
    assert "not learned; those named with --labelled are." in result.stdout
    assert "trained on 10 and" in result.stdout
    result = blemish("evaluate", "m.blemish", line, *said, "--json", "f.json", "-q")
    assert result.returncode == 0, result.stderr
    (product,) = json.loads((tmp_path / "f.json").read_text())["products"].values()
    assert (product["good"], product["defective"], product["with_mask"]) == (4, 3, 3)
    result = blemish("report", "m.blemish", line, *said, "--pictures", "1")
    assert result.returncode == 0, result.stderr
    assert "Read as good, for testing: 4 images in later/" in result.stderr
    result = blemish("data", "describe", line, *said)
    assert "Read as good, for testing: 4 images in later/" in result.stdout
    assert "--good DIR" in refused(blemish("fit", *BRIEF))


def test_folders_need_no_data_set(blemish: Any, line: Path, tmp_path: Path) -> None:
    result = blemish("fit", "--good", "line/fine", "--defects", "line/stained", *BRIEF)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "line.blemish").is_file()
    assert "products line" in result.stdout


def test_a_benchmark_reads_folders_as_it_is_told(blemish: Any, line: Path, tmp_path: Path) -> None:
    result = blemish(
        *("benchmark", "--data", line, "--out", "r", "--size", "64", "--device", "cpu"),
        *("--good", "fine", "--good", "later", "--test", "later", "--defects", "stained"),
        *("--teacher-weights", "random"),
    )
    assert result.returncode == 0, result.stderr
    row = json.loads((tmp_path / "r" / "rows.jsonl").read_text())
    assert row["rows"][0]["measured"] == {"good": 4, "defective": 3, "masked": 0}
    assert "--good fine --good later" in row["command"]
