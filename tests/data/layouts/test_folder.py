from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet
from blemish.errors import DataError

WriteImage = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path, write_image: WriteImage) -> Callable[..., Path]:
    def write(*names: str) -> Path:
        for name in names:
            write_image(tmp_path / "part" / name)
        return tmp_path / "part"

    return write


def _told(data_set: DataSet) -> list[tuple[str, str, int | None, str | None]]:
    root = data_set.root
    return [
        (s.path.relative_to(root).as_posix(), s.split, s.label, s.defect_kind)
        for s in data_set.samples
    ]


@pytest.mark.parametrize("good", ["good", "OK", "Normal"])
def test_without_splits(tree: Callable[..., Path], good: str) -> None:
    data_set = read_data_set(tree(f"{good}/1.png", f"{good}/deep/2.png", "dent/1.png", "x/1.png"))
    assert (data_set.layout, data_set.products) == ("folder", ("part",))
    assert _told(data_set) == [
        (f"{good}/1.png", "train", 0, None),
        (f"{good}/deep/2.png", "train", 0, None),
        ("dent/1.png", "test", 1, "dent"),
        ("x/1.png", "test", 1, "x"),
    ]
    said = "all 2 good images are for learning and for the limits"
    assert any(said in p for p in data_set.problems)


def test_with_splits(tree: Callable[..., Path]) -> None:
    data_set = read_data_set(
        tree(
            "Train/ok/1.png",
            "val/ok/1.png",
            "test/OK/1.png",
            "test/dent/10.png",
            "test/dent/9.png",
            "extra/1.png",
            "loose.png",
        )
    )
    assert data_set.layout == "folder"
    assert _told(data_set) == [
        ("Train/ok/1.png", "train", 0, None),
        ("val/ok/1.png", "validation", 0, None),
        ("test/dent/9.png", "test", 1, "dent"),
        ("test/dent/10.png", "test", 1, "dent"),
        ("test/OK/1.png", "test", 0, None),
    ]
    text = "\n".join(data_set.problems)
    assert "extra/ beside train/ and test/ were left out" in text
    assert "1 images directly in part/" in text


def test_images_directly_in_splits(tree: Callable[..., Path]) -> None:
    data_set = read_data_set(tree("train/1.png", "test/2.png"))
    assert _told(data_set) == [
        ("train/1.png", "train", 0, None),
        ("test/2.png", "test", None, None),
    ]


def test_loose_images_beside_kinds_are_left_out(tree: Callable[..., Path]) -> None:
    data_set = read_data_set(tree("train/1.png", "train/good/2.png", "train/dent/3.png"))
    assert [(s.path.name, s.label) for s in data_set.samples] == [("3.png", 1), ("2.png", 0)]
    text = "\n".join(data_set.problems)
    assert "1 images directly in train/" in text
    assert "1 training images are defective (kind 'dent')" in text


@pytest.mark.parametrize(
    "mask",
    [
        "ground_truth/dent/1_mask.png",
        "masks/dent/1.bmp",
        "Masks/test/dent/1.png",
        "masks/1_mask.png",
        "test/dent/1_mask.png",
    ],
)
def test_where_masks_are_found(tree: Callable[..., Path], mask: str) -> None:
    root = tree("train/good/1.png", "test/good/1.png", "test/dent/1.jpg", mask)
    data_set = read_data_set(root, layout="folder")
    assert data_set.problems == ()
    assert [s.mask_paths for s in data_set.samples] == [(), (root / mask,), ()]


def test_masks_without_splits_and_in_deeper_folders(tree: Callable[..., Path]) -> None:
    root = tree("ok/1.png", "dent/a/1.png", "dent/b/1.png", "masks/dent/b/1.png")
    masks = {s.path.parent.name: s.mask_paths for s in read_data_set(root).samples if s.label}
    assert masks == {"a": (), "b": (root / "masks/dent/b/1.png",)}


def test_flat_masks_are_not_shared_between_kinds(tree: Callable[..., Path]) -> None:
    data_set = read_data_set(tree("ok/1.png", "dent/1.png", "hole/1.png", "masks/1.png"))
    assert not any(s.mask_paths for s in data_set.samples)
    assert sum("1 of 1 test images of kind" in p for p in data_set.problems) == 2


def test_a_folder_per_product(tmp_path: Path, write_image: WriteImage) -> None:
    for name in ("lid/good/1.png", "lid/dent/1.png", "cap/train/ok/1.png", "junk/x/1.png"):
        write_image(tmp_path / name)
    data_set = read_data_set(tmp_path)
    assert data_set.products == ("cap", "lid")
    assert any(p.startswith("junk: left out") and "x/" in p for p in data_set.problems)


def test_flat_folder_only_by_name(tree: Callable[..., Path]) -> None:
    root = tree("1.png", "2.png", "10.png")
    with pytest.raises(DataError, match="asked for by name"):
        read_data_set(root)
    data_set = read_data_set(root, layout="folder")
    assert [s.path.name for s in data_set.samples] == ["1.png", "2.png", "10.png"]
    assert all((s.product, s.split, s.label) == ("part", "train", 0) for s in data_set.samples)
    assert "all 3 are taken as good" in data_set.problems[0]


def test_no_good_folder(tree: Callable[..., Path]) -> None:
    root = tree("fine/1.png", "bad/1.png")
    with pytest.raises(DataError, match=r"no folder called good, ok or normal.*bad/, fine/"):
        read_data_set(root, layout="folder")


def test_empty_good_folder(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        read_data_set(tmp_path)


def test_what_systems_leave_behind_is_ignored(tree: Callable[..., Path]) -> None:
    root = tree("good/1.png", ".thumbs/1.png", "__MACOSX/1.png", "good/._1.png")
    assert len(read_data_set(root).samples) == 1
