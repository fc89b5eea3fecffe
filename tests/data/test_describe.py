from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from blemish.data.describe import describe
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet, Sample

Category = Callable[..., Path]
WriteImage = Callable[..., Path]


def test_counts_sizes_and_modes(
    mvtec_category: Category, write_image: WriteImage, tmp_path: Path
) -> None:
    root = mvtec_category(tmp_path / "lid")
    write_image(root / "train" / "good" / "wide.png", 99, size=(3, 20), mode="RGB")
    seen: list[tuple[int, int]] = []
    found = describe(read_data_set(root), on_progress=lambda done, of: seen.append((done, of)))
    (lid,) = found.products
    assert found.layout == "mvtec_ad"
    assert found.root == root
    assert lid.counts == {"train": {"good": 4}, "test": {"good": 2, "scratch": 2}}
    assert (lid.masks, lid.unmasked) == (2, 0)
    assert (lid.smallest, lid.largest) == ((3, 6), (4, 20))
    assert lid.modes == {"L": 7, "RGB": 1}
    assert found.problems == ()
    assert seen == [(i, 8) for i in range(1, 9)]


@pytest.mark.parametrize("decode", [True, False])
def test_masks_of_another_size(
    mvtec_category: Category, write_image: WriteImage, tmp_path: Path, decode: bool
) -> None:
    root = mvtec_category(tmp_path / "lid")
    write_image(root / "ground_truth" / "scratch" / "001_mask.png", 255, size=(6, 4))
    found = describe(read_data_set(root), decode=decode)
    assert found.products[0].masks == 1
    assert found.problems == (
        "lid: 1 mask of another size than the image: scratch/001_mask.png. They count for no pixel "
        "metric: export them at the size of their images.",
    )


def test_masks_that_mark_nothing_or_cannot_be_read(
    mvtec_category: Category, write_image: WriteImage, tmp_path: Path
) -> None:
    root = mvtec_category(tmp_path / "lid")
    write_image(root / "ground_truth" / "scratch" / "000_mask.png", 0)
    (root / "ground_truth" / "scratch" / "001_mask.png").write_bytes(b"text")
    (problem,) = describe(read_data_set(root)).problems
    assert problem.startswith("lid: 2 masks cannot be used")
    assert "marks no pixel" in problem


def test_leaks_and_doubles(mvtec_category: Category, tmp_path: Path) -> None:
    root = mvtec_category(tmp_path / "lid")
    train = root / "train" / "good"
    shutil.copy(train / "000.png", root / "test" / "good" / "leak.png")
    shutil.copy(train / "001.png", train / "again.png")
    (root / "validation" / "good").mkdir(parents=True)
    shutil.copy(train / "002.png", root / "validation" / "good" / "v.png")
    problems = describe(read_data_set(root)).problems
    assert problems == (
        "1 image is in both train and test, so figures on test are too good: "
        "train/good/000.png = test/good/leak.png.",
        "1 image is in both train and validation, so figures on validation are too good: "
        "train/good/002.png = validation/good/v.png.",
        "lid: 1 image occurs more than once in train: train/good/001.png = train/good/again.png.",
    )


def test_leaks_between_products_are_found(mvtec_category: Category, tmp_path: Path) -> None:
    mvtec_category(tmp_path / "a")
    mvtec_category(tmp_path / "b")
    problems = describe(read_data_set(tmp_path)).problems
    assert problems == (
        "a: 3 images occur more than once in train: a/train/good/000.png = b/train/good/000.png, "
        "a/train/good/001.png = b/train/good/001.png, a/train/good/002.png = "
        "b/train/good/002.png.",
    )


def test_unreadable_files(mvtec_category: Category, tmp_path: Path) -> None:
    root = mvtec_category(tmp_path / "lid")
    (root / "train" / "good" / "000.png").write_bytes(b"")
    path = root / "train" / "good" / "001.png"
    path.write_bytes(path.read_bytes()[:-30])
    data_set = read_data_set(root)
    (problem,) = describe(data_set).problems
    assert problem.startswith("lid: 2 images cannot be read: ")
    assert "000.png" in problem
    assert "empty" in problem
    assert describe(data_set).products[0].modes == {"L": 5}
    (problem,) = describe(data_set, decode=False).problems
    assert problem.startswith("lid: 1 image cannot be read")


def test_files_that_vanish(mvtec_category: Category, tmp_path: Path) -> None:
    root = mvtec_category(tmp_path / "lid")
    data_set = read_data_set(root)
    shutil.rmtree(root)
    found = describe(data_set)
    assert "7 images cannot be read" in found.problems[0]
    assert found.products[0].smallest is None


def test_the_data_sets_own_problems_come_first(mvtec_category: Category, tmp_path: Path) -> None:
    root = mvtec_category(tmp_path / "lid")
    shutil.rmtree(root / "ground_truth")
    found = describe(read_data_set(root))
    assert "have no mask" in found.problems[0]
    assert found.products[0].unmasked == 2


def test_arrays_and_unknown_labels() -> None:
    image = np.zeros((5, 7, 3), np.uint8)
    samples = (
        Sample(Path("a#0"), "cat", "train", 0, image=image),
        Sample(Path("a#1"), "cat", "test", None, image=image.copy()),
        Sample(Path("a#2"), "cat", "test", 1, image=image + 1),
    )
    found = describe(DataSet("cifar10", Path("a"), samples))
    assert found.products[0].counts == {
        "train": {"good": 1},
        "test": {"unknown": 1, "defective": 1},
    }
    assert found.products[0].modes == {"array": 3}
    assert found.products[0].largest == (5, 7)
    assert "a#0 = a#1" in found.problems[0]


def test_real_images(shared_data: Path) -> None:
    data_set = read_data_set(shared_data / "lookout")
    found = describe(data_set)
    cookie = next(p for p in found.products if p.name == "cookie")
    assert cookie.counts["test"] == {"broken": 32, "broken_unmasked": 8, "good": 21}
    assert (cookie.masks, cookie.unmasked) == (32, 8)
    assert found.problems == data_set.problems
