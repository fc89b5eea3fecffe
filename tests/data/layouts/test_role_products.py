"""Products below folders of good and bad images, and below folders that are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from blemish.data.layouts import Folders, read_data_set
from blemish.data.sample import DataSet

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, write_image: Callable[..., Path]) -> Write:
    def write(*names: str) -> Path:
        for name in names:
            write_image(tmp_path / "line" / name)
        return tmp_path / "line"

    return write


def told(data_set: DataSet) -> list[tuple[str, str, int | None, str | None, int]]:
    root = data_set.root
    return [
        (
            s.product,
            s.path.relative_to(root).as_posix(),
            s.label,
            s.defect_kind,
            len(s.mask_paths),
        )
        for s in data_set.samples
    ]


def test_products_in_good_and_bad(write: Write) -> None:
    root = write(
        *("good/lid/1.png", "good/nut/1.png", "bad/lid/1.png", "bad/lid/dent/2.png"),
        *("masks/lid/1.png", "normal_test/nut/5.png"),
    )
    data_set = read_data_set(root)
    assert told(data_set) == [
        ("lid", "good/lid/1.png", 0, None, 0),
        ("lid", "bad/lid/1.png", 1, "bad", 1),
        ("lid", "bad/lid/dent/2.png", 1, "dent", 0),
        ("nut", "good/nut/1.png", 0, None, 0),
        ("nut", "normal_test/nut/5.png", 0, None, 0),
    ]
    assert [s.split for s in data_set.samples] == ["train", "test", "test", "train", "test"]


@pytest.mark.parametrize(
    "names",
    [
        ("good/lid/1.png", "good/nut/1.png", "bad/scratch/1.png"),  # a kind of defect
        ("good/lid/1.png", "good/nut/1.png", "bad/1.png"),
        ("good/lid/1.png", "good/nut/1.png"),
    ],
)
def test_folders_of_good_images_may_be_lots_and_it_is_asked(
    write: Write, names: tuple[str, ...]
) -> None:
    root = write(*names)
    data_set = read_data_set(root)
    assert data_set.products == ("line",)
    (said,) = [text for text in data_set.problems if "one product" in text]
    assert f"--good lid={root}/good/lid --good nut={root}/good/nut" in said
    good = [f"lid={root}/good/lid", f"nut={root}/good/nut"]
    assert read_data_set(Folders(good=good)).products == ("lid", "nut")


def test_images_beside_the_folders_are_of_one_product(write: Write) -> None:
    names = ("good/1.png", "good/lid/1.png", "good/nut/1.png", "bad/lid/1.png")
    data_set = read_data_set(write(*names))
    assert data_set.products == ("line",)


def test_given_folders_that_lie_in_products(write: Write) -> None:
    root = write("a/x/good/1.png", "a/y/good/1.png", "a/x/scratch/2.png", "b/1.png")
    good = [root / "a/x/good", root / "a/y/good"]
    data_set = read_data_set(Folders(good=good, defects=[root / "a/x/scratch"]))
    assert [(s.product, s.path.parent.name, s.label) for s in data_set.samples] == [
        ("x", "good", 0),
        ("x", "scratch", 1),
        ("y", "good", 0),
    ]
    said = " ".join(data_set.problems)
    assert "products x, y, as the folders that they lie in are called" in said
    assert f"If they show one: --good NAME={good[0]}" in said
    one = read_data_set(Folders(good=[f"lid={folder}" for folder in good]))
    assert (one.products, len(one.samples)) == (("lid",), 2)
    # Nothing says of which of the two a folder elsewhere is.
    assert len(read_data_set(Folders(good=good, defects=[root / "b"])).products) == 1
    both = read_data_set(Folders(good=[root / "a/x/good"], test=[root / "a/x/scratch"]))
    assert len(both.products) == 1
