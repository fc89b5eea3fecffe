"""Trees whose first folders are splits, with the products in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet

Read = Callable[..., DataSet]


@pytest.fixture
def read(tmp_path: Path, write_image: Callable[..., Path]) -> Read:
    def read(*names: str) -> DataSet:
        for name in names:
            write_image(tmp_path / "line" / name)
        return read_data_set(tmp_path / "line")

    return read


def told(data_set: DataSet) -> list[tuple[str, str, str, int | None, str | None, int]]:
    return [
        (s.product, s.path.parent.name, s.split, s.label, s.defect_kind, len(s.mask_paths))
        for s in data_set.samples
    ]


def test_products_in_train_and_test(read: Read) -> None:
    data_set = read(
        *("train/lid/good/1.png", "train/cap/ok/1.png", "val/lid/good/2.png"),
        *("test/lid/good/3.png", "test/lid/dent/4.png", "test/cap/hole/1.png"),
        *("ground_truth/lid/dent/4_mask.png", "ground_truth/cap/hole/1_mask.png"),
    )
    assert told(data_set) == [
        ("cap", "ok", "train", 0, None, 0),
        ("cap", "hole", "test", 1, "hole", 1),
        ("lid", "good", "train", 0, None, 0),
        ("lid", "good", "validation", 0, None, 0),
        ("lid", "dent", "test", 1, "dent", 1),
        ("lid", "good", "test", 0, None, 0),
    ]
    assert data_set.problems == ()


def test_images_directly_in_the_product_are_good_in_train(read: Read) -> None:
    data_set = read(
        *("train/lid/1.png", "train/cap/1.png", "test/lid/good/3.png", "test/cap/hole/1.png"),
    )
    assert [line[:4] for line in told(data_set)] == [
        ("cap", "cap", "train", 0),
        ("cap", "hole", "test", 1),
        ("lid", "lid", "train", 0),
        ("lid", "good", "test", 0),
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("train/good/1.png", "train/dent/1.png", "test/good/2.png", "test/dent/3.png"),
        ("train/good/1.png", "train/lid/good/1.png", "test/dent/3.png"),
        ("train/0.png", "train/lid/good/1.png", "test/dent/3.png"),
        ("train/dent/1.png", "train/hole/1.png", "test/dent/3.png", "test/good/1.png"),
    ],
)
def test_kinds_in_splits_are_no_products(read: Read, names: tuple[str, ...]) -> None:
    assert read(*names).products == ("line",)
