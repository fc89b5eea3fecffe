"""Tiny data sets for benchmarks: an inspection line and a set of digits."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.benchmark.plan import BenchmarkOptions

CATEGORIES = ("bolt", "nut")


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """Two categories in MVTec layout: 8 good images to train, 3 good and 3 defective to test."""
    root = tmp_path / "line"
    rng = np.random.default_rng(0)
    for category in CATEGORIES:
        for split, kind, count in (
            ("train", "good", 8),
            ("test", "good", 3),
            ("test", "scratch", 3),
        ):
            for i in range(count):
                pixels = rng.integers(90, 110, (64, 64, 3))
                if kind == "scratch":
                    pixels[20:36, 20:36] = rng.integers(0, 255, (16, 16, 3))
                    mask = np.zeros((64, 64))
                    mask[20:36, 20:36] = 255
                    _save(root / category / "ground_truth" / kind / f"{i:03}_mask.png", mask)
                _save(root / category / split / kind / f"{i:03}.png", pixels)
    return root


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Four digits in MNIST's files: 10 training and 5 test images of each."""
    root = tmp_path / "digits"
    root.mkdir()
    rng = np.random.default_rng(1)
    for prefix, each in (("train", 10), ("t10k", 5)):
        labels = np.repeat(np.arange(4, dtype=np.uint8), each)
        images = rng.integers(0, 60, (len(labels), 28, 28)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4 + 4 * label : 10 + 4 * label] += 150  # a bar at a height of its own
        _idx(root / f"{prefix}-images-idx3-ubyte.gz", images)
        _idx(root / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return root


@pytest.fixture
def options() -> Callable[..., BenchmarkOptions]:
    """``options(path, …)``: two training steps on 64 × 64 pixels under a random teacher."""

    def make(*data: Path, **changes: object) -> BenchmarkOptions:
        given: dict[str, object] = {
            "methods": ("rd",),
            "data": tuple(map(str, data)),
            "settings": (("steps", "2"), ("batch_size", "4")),
            "size": 64,
            "teacher_weights": "random",
            "false_alarm_rate": 0.4,
            "device": "cpu",
        }
        return BenchmarkOptions(**(given | changes))  # type: ignore[arg-type]

    return make


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def _idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))
