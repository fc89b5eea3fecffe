"""A large image is brought to RGB strip by strip, which must not show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.data.images.reading import read_image


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "CMYK", "1"])
def test_a_large_image_is_the_same_strip_by_strip(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 30, 3)).astype(np.uint8)
    Image.fromarray(noise).convert(mode).save(tmp_path / "picture.tif")
    at_once = read_image(tmp_path / "picture.tif")
    monkeypatch.setattr("blemish.data.images.reading._STRIP", 30 * 7)
    np.testing.assert_array_equal(read_image(tmp_path / "picture.tif"), at_once)
