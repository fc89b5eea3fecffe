from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from blemish.data.layouts import LAYOUTS, read_data_set, recognise
from blemish.errors import ConfigError, DataError

Category = Callable[..., Path]


def test_unknown_layout_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'mvtec_loco'") as caught:
        read_data_set(tmp_path, layout="mvtec_logo")
    for name in LAYOUTS:
        assert name in str(caught.value)


def test_missing_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        read_data_set(tmp_path / "gone")
    with pytest.raises(DataError, match="Check the path"):
        read_data_set("a\0b")


def test_a_root_of_no_layout_says_what_was_found_and_looked_for(tmp_path: Path) -> None:
    for i in range(10):
        (tmp_path / f"note{i}.txt").touch()
    (tmp_path / "things").mkdir()
    assert recognise(tmp_path) is None
    with pytest.raises(DataError) as caught:
        read_data_set(tmp_path)
    message = str(caught.value)
    assert "note0.txt, note1.txt" in message
    assert "(11 entries)" in message
    for layout in LAYOUTS.values():
        assert layout.expects in message


def test_an_empty_folder_and_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        read_data_set(tmp_path)
    file = tmp_path / "a.bin"
    file.write_bytes(b"123")
    with pytest.raises(DataError, match="a file of 3 bytes"):
        read_data_set(file)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_refuses_what_it_is_not(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("nothing here", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_data_set(tmp_path, layout=name)
    assert "notes.txt" in str(caught.value) or str(tmp_path) in str(caught.value)
    with pytest.raises(DataError):
        read_data_set(tmp_path / "notes.txt", layout=name)


def test_the_same_root_gives_the_same_data_set(mvtec_category: Category, tmp_path: Path) -> None:
    for name in ("b10", "b2", "a"):
        mvtec_category(tmp_path / name)
    first = read_data_set(tmp_path)
    assert first == read_data_set(str(tmp_path))
    assert first.products == ("a", "b2", "b10")
    assert [s.split for s in first.of_products(["a"]).samples] == ["train"] * 3 + ["test"] * 4


def test_reading_data_imports_no_training_library() -> None:
    program = (
        "import sys; import blemish.data.layouts, blemish.data.describe; "
        "import blemish.data.images.reading; "
        "print(*sorted({'torch', 'scipy', 'sklearn', 'elpv_dataset'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
