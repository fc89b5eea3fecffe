"""Pictures of 30,000 × 8,000 pixels: said at once, and nothing else suffers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("huge")
    picture = Image.new("1", (8_000, 30_000))
    picture.save(folder / "huge.png", compress_level=1)
    picture.save(folder / "huge.tif", compression="group4")
    return folder


def test_predict_says_it_and_judges_the_others(
    blemish: Any, judging: dict[str, Path], huge: Path, tmp_path: Path
) -> None:
    shutil.copytree(huge, tmp_path / "in")
    shutil.copy(judging["ok"], tmp_path / "in" / "usual.png")
    result = blemish("predict", judging["model"], "in", "--csv", "o.csv")
    assert result.returncode == 2
    assert result.stderr.count("found 30000×8000 = 240,000,000 pixels") == 2
    assert "crop or shrink it" in result.stderr
    assert "Traceback" not in result.stderr
    rows = (tmp_path / "o.csv").read_text().splitlines()
    assert len(rows) == 4
    assert sum("240,000,000" in row for row in rows) == 2


def test_a_program_that_trusts_its_source_reads_it(huge: Path) -> None:
    from blemish.data.images.reading import read_image

    assert read_image(huge / "huge.png", max_pixels=240_000_000).shape == (30_000, 8_000, 3)
