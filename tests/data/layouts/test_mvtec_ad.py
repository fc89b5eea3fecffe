from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from blemish.data.images.reading import image_size, read_mask
from blemish.data.layouts import read_data_set
from blemish.errors import DataError

Category = Callable[..., Path]


def test_one_category(mvtec_category: Category, tmp_path: Path) -> None:
    root = mvtec_category(tmp_path / "bottle")
    data_set = read_data_set(root)
    assert (data_set.layout, data_set.products, data_set.problems) == ("mvtec_ad", ("bottle",), ())
    told = Counter((s.split, s.label, s.defect_kind, len(s.mask_paths)) for s in data_set.samples)
    assert told == {
        ("train", 0, None, 0): 3,
        ("test", 0, None, 0): 2,
        ("test", 1, "scratch", 1): 2,
    }
    for sample in data_set.where(lambda s: s.label == 1).samples:
        assert sample.mask_paths[0].name == f"{sample.path.stem}_mask.png"


def test_the_category_may_be_the_current_folder(
    mvtec_category: Category, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mvtec_category(tmp_path / "bottle"))
    assert read_data_set(".").products == ("bottle",)


def test_categories_and_groups_of_categories(mvtec_category: Category, tmp_path: Path) -> None:
    mvtec_category(tmp_path / "direct")
    mvtec_category(tmp_path / "one" / "lid")
    mvtec_category(tmp_path / "two" / "lid")
    mvtec_category(tmp_path / "two" / "cap")
    (tmp_path / "notes").mkdir()
    data_set = read_data_set(tmp_path)
    assert data_set.products == ("cap", "direct", "one-lid", "two-lid")
    assert len(data_set.samples) == 4 * 7


def test_masks_by_plain_stem_and_any_suffix(
    mvtec_category: Category, write_image: Callable[..., Path], tmp_path: Path
) -> None:
    root = mvtec_category(tmp_path / "lid")
    truth = root / "ground_truth" / "scratch"
    (truth / "000_mask.png").rename(truth / "000.png")
    (truth / "001_mask.png").unlink()
    write_image(truth / "001.bmp", 255)
    masks = {s.path.stem: s.mask_paths for s in read_data_set(root).samples if s.label}
    assert masks == {"000": (truth / "000.png",), "001": (truth / "001.bmp",)}


def test_missing_masks_are_one_sentence_per_kind(mvtec_category: Category, tmp_path: Path) -> None:
    root = mvtec_category(tmp_path / "lid")
    shutil.copytree(root / "test" / "scratch", root / "test" / "dent")
    (root / "ground_truth" / "scratch" / "001_mask.png").rename(
        root / "ground_truth" / "scratch" / "777_mask.png"
    )
    data_set = read_data_set(root)
    assert len(data_set.problems) == 3
    text = "\n".join(data_set.problems)
    assert "lid: 1 of 2 test images of kind 'scratch' have no mask" in text
    assert "lid: 2 of 2 test images of kind 'dent' have no mask" in text
    assert "lid: 1 masks of kind 'scratch' belong to no image" in text
    assert sum(bool(s.mask_paths) for s in data_set.samples) == 1


def test_one_incomplete_category_does_not_stop_the_others(
    mvtec_category: Category, tmp_path: Path
) -> None:
    mvtec_category(tmp_path / "whole")
    shutil.rmtree(mvtec_category(tmp_path / "untrained") / "train")
    shutil.rmtree(mvtec_category(tmp_path / "untested") / "test")
    empty = mvtec_category(tmp_path / "empty")
    for path in (empty / "train" / "good").iterdir():
        path.unlink()
    data_set = read_data_set(tmp_path)
    assert data_set.products == ("empty", "untested", "untrained", "whole")
    text = "\n".join(data_set.problems)
    assert "untrained: there are no images in train/good/" in text
    assert "untested: there are no images in test/" in text
    assert "empty: train/good/ holds no images" in text
    assert "whole" not in text


def test_loose_images_and_training_defects_are_told(
    mvtec_category: Category, write_image: Callable[..., Path], tmp_path: Path
) -> None:
    root = mvtec_category(tmp_path / "lid")
    write_image(root / "test" / "loose.png")
    write_image(root / "train" / "dent" / "0.png")
    write_image(root / "validation" / "good" / "0.png")
    data_set = read_data_set(root)
    assert any("1 images directly in test/" in p for p in data_set.problems)
    assert any("1 training images are defective (kind 'dent')" in p for p in data_set.problems)
    first = data_set.split("train").samples[0]
    assert (first.label, first.defect_kind) == (1, "dent")
    assert len(data_set.split("validation").samples) == 1


def test_nothing_usable(tmp_path: Path) -> None:
    (tmp_path / "lid" / "train" / "good").mkdir(parents=True)
    (tmp_path / "lid" / "test").mkdir()
    with pytest.raises(DataError, match=r"no usable images.*lid/.*train/good/ holds no images"):
        read_data_set(tmp_path)


def test_real_images(shared_data: Path) -> None:
    data_set = read_data_set(shared_data)
    assert data_set.layout == "mvtec_ad"
    assert data_set.products == ("alien", "bottle", "cookie", "pill")
    assert len(data_set.split("train").samples) == 209 + 267 + 24 + 40
    bottle = data_set.of_products(["bottle"])
    assert Counter(s.defect_kind for s in bottle.split("test").samples) == {
        None: 20,
        "broken_large": 20,
        "broken_small": 22,
        "contamination": 21,
    }
    assert sum(bool(s.mask_paths) for s in data_set.samples) == 63 + 141 + 32
    assert len(data_set.problems) == 2  # alien and broken_unmasked have no masks
    sample = next(s for s in data_set.samples if s.mask_paths)
    assert read_mask(sample.mask_paths[0], expected_size=image_size(sample.path)).any()


@pytest.mark.parametrize("part", ["mvtec", "mvtec/pill", "lookout/alien"])
def test_real_images_from_deeper_roots(shared_data: Path, part: str) -> None:
    whole = read_data_set(shared_data)
    data_set = read_data_set(shared_data / part)
    assert data_set.layout == "mvtec_ad"
    assert data_set.samples == whole.of_products(data_set.products).samples
