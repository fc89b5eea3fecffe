"""CSV lists: what each image is, by a table."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from blemish.data.layouts import read_data_set
from blemish.data.sources import training_data
from blemish.errors import DataError

LINES = """path,label,product,mask
a/1.png,good,lid,
a/2.png,0,lid,
a\\3.png,scratch,lid,m/3.png
b/1.png,OK,cap,
b/2.png,NG,cap,m/gone.png
b/3.png,1,cap,
b/4.png,,cap,
b/5.png,good,cap,
"""


@pytest.fixture
def folder(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    for name in ("a/1", "a/2", "a/3", "m/3", "b/1", "b/2", "b/3", "b/4"):
        write_image(tmp_path / f"{name}.png")
    (tmp_path / "list.csv").write_text(LINES, encoding="utf-8")
    return tmp_path


def test_each_line_says_what_an_image_is(folder: Path) -> None:
    by_file, by_folder = training_data(folder / "list.csv"), read_data_set(folder)
    assert by_file.samples == by_folder.samples
    assert by_file.layout == "csv"
    told = [
        (s.product, s.path.name, s.split, s.label, s.defect_kind, [m.name for m in s.mask_paths])
        for s in by_folder.samples
    ]
    assert told == [
        ("cap", "1.png", "train", 0, None, []),
        ("cap", "2.png", "test", 1, "NG", []),
        ("cap", "3.png", "test", 1, "defect", []),
        ("cap", "4.png", "test", None, None, []),
        ("lid", "1.png", "train", 0, None, []),
        ("lid", "2.png", "train", 0, None, []),
        ("lid", "3.png", "test", 1, "scratch", ["3.png"]),
    ]
    assert by_folder.problems == (
        "cap: 1 images named in list.csv are not there and were left out.",
        "cap: 1 masks named in list.csv are not there and were left out.",
    )


def test_other_separators_names_and_splits(folder: Path) -> None:
    rows = "Filename;Class;Split\na/1.png;normal;train\na/2.png;normal;test\na/3.png;dent;\n"
    (folder / "list.csv").write_text(rows, encoding="utf-8-sig")
    data_set = read_data_set(folder)
    assert data_set.products == (folder.name,)
    assert [(s.split, s.label, s.defect_kind) for s in data_set.samples] == [
        ("train", 0, None),
        ("test", 0, None),
        ("test", 1, "dent"),
    ]


def test_names_are_found_however_their_accents_are_stored(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    stored = unicodedata.normalize("NFD", "Gehäuse/Prüfling.png")
    write_image(tmp_path / stored)
    rows = "path,label,product\nGehäuse/Prüfling.png,gut,Gehäuse\n"
    (tmp_path / "list.csv").write_text(rows, "utf-8")
    (sample,) = read_data_set(tmp_path).samples
    assert sample.path == tmp_path / stored
    assert sample.product == "Gehäuse"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\na/1.png,true\n", "line 2: the label 'true' can be read both ways"),
        ("path,label\na/1.png,positive\n", "both ways"),
        ("path,label,split\na/1.png,ok,left\n", "found the split 'left'"),
        ("path,label\n../x.png,ok\n", "stays inside"),
        ("path,label\na/1.png,ok\na/1.png,ng\n", "twice"),
        ("path;kind\n", "no usable images"),
        ("name,label\na/1.png,ok\n", "'name,label', in which no column is called path. Put"),
        ("a/1.png,ok\na/2.png,ok\n", "line 'a/1.png,ok', in which no .* path or label"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder: Path, text: str, words: str) -> None:
    (folder / "list.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_data_set(folder / "list.csv", layout="csv")


def test_a_column_of_groups(folder: Path) -> None:
    head, *rows = LINES.splitlines()
    lots = [f"{row},lot{at % 2}" for at, row in enumerate(rows[:2])]
    table = folder / "list.csv"
    table.write_text("\n".join([f"{head},Lot", *lots, *rows[2:]]), encoding="utf-8")
    found = [s.together for s in read_data_set(folder).samples if s.product == "lid"]
    assert found == ["lot0", "lot1", None]


def test_a_list_without_a_header_is_told_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("a/1.png,ok\na/2.png,ok\n")
    for given in (tmp_path, tmp_path / "list.csv"):
        with pytest.raises(DataError, match=r"line 'a/1.png,ok', in which .*: path,label and"):
            read_data_set(given)
