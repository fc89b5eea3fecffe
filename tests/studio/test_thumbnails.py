"""Thumbnails: each file has its own, whatever other file has its name, size and time stamp."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.studio.pictures import ProjectPictures, file_version
from blemish.studio.thumbnails import Thumbnails

TIME = 1_700_000_000


def grey_file(path: Path, level: int) -> Path:
    """Uncompressed, so that all have one size, and as old as all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(path, "BMP")
    os.utime(path, (TIME, TIME))
    return path


def level_of(thumbnail: bytes) -> int:
    return int(np.median(np.asarray(Image.open(io.BytesIO(thumbnail)))))


def test_pictures_of_one_name_size_and_time_have_each_their_own(tmp_path: Path) -> None:
    thumbnails = Thumbnails(tmp_path, 10**6)
    dark = grey_file(tmp_path / "pictures/nut/good/1.bmp", 40)
    light = grey_file(tmp_path / "pictures/nut/defect/1.bmp", 200)
    for _ in range(2):  # made, and kept
        assert abs(level_of(thumbnails.of(dark)) - 40) < 3
        assert abs(level_of(thumbnails.of(light)) - 200) < 3


def test_what_takes_the_place_of_a_picture_has_its_own(tmp_path: Path) -> None:
    thumbnails = Thumbnails(tmp_path, 10**6)
    picture = grey_file(tmp_path / "pictures/nut/good/1.bmp", 40)
    assert abs(level_of(thumbnails.of(picture)) - 40) < 3
    [before] = ProjectPictures(tmp_path).all()
    grey_file(tmp_path / "new/1.bmp", 200).replace(picture)  # as old as the one before it
    assert abs(level_of(thumbnails.of(picture)) - 200) < 3
    [after] = ProjectPictures(tmp_path).all()
    assert before.version != after.version  # so that a browser asks for it


def test_a_picture_that_is_moved_keeps_it(tmp_path: Path) -> None:
    thumbnails, pictures = Thumbnails(tmp_path, 10**6), ProjectPictures(tmp_path)
    picture = grey_file(tmp_path / "pictures/nut/good/1.bmp", 40)
    thumbnails.put(picture, b"kept")
    version = file_version(picture)
    [path] = pictures.mark(["nut/good/1.bmp"], "defect")
    [path] = pictures.give_product([path], "bolt")
    assert file_version(pictures.file(path)) == version
    assert thumbnails.of(pictures.file(path)) == b"kept"


def test_one_that_cannot_be_kept_is_seen_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = grey_file(tmp_path / "1.bmp", 40)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("blemish._files.os.fsync", full)
    assert abs(level_of(Thumbnails(tmp_path, 10**6).of(picture)) - 40) < 3
    assert not list(tmp_path.rglob(".thumbnails/**/*.jpg"))
