from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from blemish.data.images.reading import read_image
from blemish.data.layouts import read_data_set
from blemish.errors import DataError

WriteImage = Callable[..., Path]
installed = pytest.mark.skipif(
    importlib.util.find_spec("elpv_dataset") is None,
    reason="needs the ELPV images: pip install elpv-dataset",
)


@pytest.fixture
def root(tmp_path: Path, write_image: WriteImage) -> Path:
    lines = []
    for i in range(1, 31):
        write_image(tmp_path / "images" / f"cell{i:04}.png")
        probability = ("0.0", "0.3333333333333333", "0.6666666666666666", "1.0")[i % 4]
        if i > 8:
            probability = "0.0"
        lines.append(f"images/cell{i:04}.png  {probability}   {'mono' if i % 2 else 'poly'}")
    (tmp_path / "labels.csv").write_text("\n".join(reversed(lines)), encoding="utf-8")
    return tmp_path


def test_protocol(root: Path) -> None:
    data_set = read_data_set(root)
    assert (data_set.layout, data_set.products) == ("elpv", ("mono", "poly"))
    counted = Counter((s.product, s.split, s.label) for s in data_set.samples)
    # mono: odd numbers, good above 8 (11), defective 3 and 7; poly: good 4, 8 and above 8 (13).
    assert counted == {
        ("mono", "train", 0): 9,
        ("mono", "test", 0): 2,
        ("mono", "test", 1): 2,
        ("poly", "train", 0): 11,
        ("poly", "test", 0): 2,
    }
    mono = data_set.of_products(["mono"]).where(lambda s: s.is_good)
    tests = sorted(s.path.name for s in mono.split("test").samples)
    assert tests == ["cell0017.png", "cell0027.png"]  # every fifth of 9, 11, 13, …, 29
    assert {s.defect_kind for s in data_set.samples if s.label} == {"defective"}


def test_the_shifted_protocol_tests_on_the_last_cells_and_is_never_guessed(root: Path) -> None:
    shifted = read_data_set(root, layout="elpv_shift")
    assert shifted.layout == "elpv_shift"
    mono = shifted.of_products(["mono"]).where(lambda s: s.is_good)
    last = max(s.path.name for s in mono.split("train").samples)
    assert last < min(s.path.name for s in mono.split("test").samples)
    assert len(mono.split("test").samples) == 3
    assert read_data_set(root).layout == "elpv"


def test_missing_files(root: Path) -> None:
    (root / "images" / "cell0030.png").unlink()
    assert "1 images named in labels.csv" in read_data_set(root).problems[0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("../../etc/passwd  0.0  mono", "stays inside"),
        ("/etc/passwd  0.0  mono", "stays inside"),
        ("images/a.png 0.5 mono", "line 31"),
        ("images/a.png nan mono", "line 31"),
        ("images/a.png 1.0 round", "line 31"),
        ("images/a.png 1.0", "line 31"),
        ("images/a.png 1.0 mono extra", "line 31"),
    ],
)
def test_bad_tables(root: Path, line: str, words: str) -> None:
    with (root / "labels.csv").open("a", encoding="utf-8") as file:
        file.write("\n" + line)
    with pytest.raises(DataError, match=words):
        read_data_set(root, layout="elpv")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install elpv-dataset"):
        read_data_set("elpv")


@installed
def test_the_real_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    data_set = read_data_set("elpv")
    assert data_set == read_data_set("elpv", layout="elpv")
    assert data_set.problems == ()
    counted = Counter((s.product, s.split, s.label) for s in data_set.samples)
    assert counted == {
        ("mono", "train", 0): 471,
        ("mono", "test", 0): 117,
        ("mono", "test", 1): 313,
        ("poly", "train", 0): 736,
        ("poly", "test", 0): 184,
        ("poly", "test", 1): 402,
    }
    assert read_image(data_set.samples[0].path).shape == (300, 300, 3)
