"""A calibrated exported model and a few hundred small pictures, two of them unreadable."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from forked import ForkServer

#: Pictures that cannot be read.
TORN, EMPTY = "0017.png", "0101.png"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory, good_parts: NDArray[np.uint8]) -> Path:
    """240 pictures: good ones with a little noise, every eighth with a square of noise."""
    folder = tmp_path_factory.mktemp("belt")
    rng = np.random.default_rng(0)
    for number in range(240):
        pixels = good_parts[number % len(good_parts)].astype(np.int16)
        pixels = (pixels + rng.integers(-3, 4, pixels.shape)).clip(0, 255).astype(np.uint8)
        if number % 8 == 3:
            pixels[8:40, 8:40] = rng.integers(0, 256, (32, 32, 3))
        Image.fromarray(pixels).save(folder / f"{number:04}.png")
    (folder / TORN).write_bytes((folder / TORN).read_bytes()[:200])
    (folder / EMPTY).write_bytes(b"")
    return folder


@pytest.fixture(scope="session")
def judging_file(exported_file: Path) -> Path:
    """The exported model, which is calibrated, to be read only."""
    return exported_file


@pytest.fixture(scope="session")
def plain_rows(
    forks: ForkServer,
    tmp_path_factory: pytest.TempPathFactory,
    pictures: Path,
    judging_file: Path,
) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """What ``blemish predict --csv --json`` writes of the pictures: CSV's rows and JSON's."""
    folder = tmp_path_factory.mktemp("plain")
    words = ("predict", judging_file, pictures, "--csv", "v.csv", "--json", "v.jsonl", "-q")
    result = forks.run(*words, "--batch-size", 1, cwd=folder)
    assert result.returncode == 2, result.stderr  # two cannot be read
    with (folder / "v.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = (folder / "v.jsonl").read_text("utf-8").splitlines()
    return rows, [json.loads(line) for line in lines]
