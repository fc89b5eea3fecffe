"""Small images and trees written where a test wants them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WriteImage = Callable[..., Path]


@pytest.fixture
def write_image() -> WriteImage:
    """``write_image(path, value=100, size=(4, 6), mode="L")``: a constant image of that value."""

    def write(
        path: Path, value: int = 100, size: tuple[int, int] = (4, 6), mode: str = "L"
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full(size, value, np.uint8)  # (H, W)
        Image.fromarray(pixels).convert(mode).save(path)
        return path

    return write


@pytest.fixture
def mvtec_category(write_image: WriteImage) -> Callable[..., Path]:
    """A category in MVTec AD's tree: 3 train, 2 good and 2 scratched test images, 2 masks."""

    def write(folder: Path, suffix: str = ".png") -> Path:
        for i in range(3):
            write_image(folder / "train" / "good" / f"{i:03}{suffix}", 10 + i)
        for i in range(2):
            write_image(folder / "test" / "good" / f"{i:03}{suffix}", 20 + i)
            write_image(folder / "test" / "scratch" / f"{i:03}{suffix}", 30 + i)
            write_image(folder / "ground_truth" / "scratch" / f"{i:03}_mask.png", 255)
        return folder

    return write
