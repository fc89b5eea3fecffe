from __future__ import annotations

import sys
from pathlib import Path

import pytest

from blemish.data.images.image_list import list_images
from blemish.errors import DataError


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_order_is_natural_and_only_images_are_listed(tmp_path: Path) -> None:
    names = ["10.png", "9.JPG", "b/2.tiff", "b/10.bmp", "a.webp", "1.jpeg", "x.tif"]
    _touch(*(tmp_path / name for name in names))
    _touch(tmp_path / "._9.jpg", tmp_path / "Thumbs.db", tmp_path / ".hidden/1.png")
    _touch(tmp_path / "__MACOSX/1.png", tmp_path / "notes.txt", tmp_path / "image")
    (tmp_path / "folder.png").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert found == ["1.jpeg", "9.JPG", "10.png", "a.webp", "b/2.tiff", "b/10.bmp", "x.tif"]


def test_not_recursive(tmp_path: Path) -> None:
    _touch(tmp_path / "1.png", tmp_path / "deeper" / "2.png")
    assert [path.name for path in list_images(tmp_path, recursive=False)] == ["1.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_linked_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    _touch(tmp_path / "elsewhere" / "1.png")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "back").symlink_to(root)
    assert [path.relative_to(root).as_posix() for path in list_images(root)] == ["linked/1.png"]


def test_errors_name_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        list_images(tmp_path / "missing")
    _touch(tmp_path / "1.png")
    with pytest.raises(DataError, match="is a file"):
        list_images(tmp_path / "1.png")
