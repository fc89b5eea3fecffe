"""Folders whose roles were given: they go before what names say, and are all read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from blemish.data.layouts import Folders, read_data_set
from blemish.data.read_as import read_as
from blemish.data.sample import DataSet
from blemish.data.sources import training_data
from blemish.errors import ConfigError, DataError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, write_image: Callable[..., Path]) -> Write:
    def write(*names: str) -> Path:
        for name in names:
            write_image(tmp_path / name)
        return tmp_path

    return write


def told(data_set: DataSet, root: Path) -> list[tuple[str, str, int | None, str | None, int]]:
    return [
        (s.path.relative_to(root).as_posix(), s.split, s.label, s.defect_kind, len(s.mask_paths))
        for s in data_set.samples
    ]


def test_folders_of_any_name_without_a_root(write: Write) -> None:
    root = write("a/lid/one/1.png", "a/lid/two/1.png", "b/painted/1.png", "a/lid/other/1.png")
    folders = Folders(good=root / "a/lid/one", defects=[root / "a/lid/two"], masks=root / "b")
    data_set = training_data(folders)
    assert (data_set.layout, data_set.products) == ("folder", (root.name,))
    assert told(data_set, root) == [
        ("a/lid/one/1.png", "train", 0, None, 0),
        ("a/lid/two/1.png", "test", 1, "two", 0),
    ]
    lids = read_data_set(Folders(good=root / "a/lid/one", defects=root / "a/lid/two"))
    assert lids.products == ("lid",)


def test_given_roles_go_before_names_and_the_rest_is_read_by_names(write: Write) -> None:
    root = write("lid/normal/1.png", "lid/rejects/1.png", "lid/white/1.png", "lid/good_old/1.png")
    data_set = read_data_set(Folders(root / "lid", good=["rejects"], masks="white"))
    assert told(data_set, root) == [
        ("lid/normal/1.png", "train", 0, None, 0),
        ("lid/rejects/1.png", "train", 0, None, 0),
    ]
    assert any("good_old/ (1 images) was left out" in text for text in data_set.problems)
    data_set = read_data_set(Folders(root / "lid", good=["good_old"], defects=["white"]))
    assert told(data_set, root) == [
        ("lid/good_old/1.png", "train", 0, None, 0),
        ("lid/normal/1.png", "train", 0, None, 0),
        ("lid/rejects/1.png", "test", 1, "rejects", 0),
        ("lid/white/1.png", "test", 1, "white", 0),
    ]


def test_masks_elsewhere_and_a_name_for_every_product(write: Write) -> None:
    root = write(
        *("line/lid/fine/1.png", "line/lid/dent/2.png", "line/cap/fine/1.png"),
        *("line/cap/hole/3.png", "drawn/2.png", "line/junk/1.png"),
    )
    data_set = read_data_set(Folders(root / "line", good=["FINE"]))
    assert data_set.products == ("cap", "lid")
    assert [s.label for s in data_set.samples] == [0, 1, 0, 1]
    lid = read_data_set(Folders(root / "line" / "lid", good="fine", masks=root / "drawn"))
    assert [s.mask_paths for s in lid.samples] == [(), (root / "drawn" / "2.png",)]


def test_what_tests_may_be_good_or_defective_too(write: Write) -> None:
    root = write("fine/1.png", "later/2.png", "mixed/good/3.png", "mixed/dent/4.png", "new/5.png")
    data_set = read_data_set(
        Folders(root, good=["fine", "later"], test=["later", "mixed", root / "new"])
    )
    assert told(data_set, root) == [
        ("fine/1.png", "train", 0, None, 0),
        ("later/2.png", "test", 0, None, 0),
        ("mixed/dent/4.png", "test", 1, "dent", 0),
        ("mixed/good/3.png", "test", 0, None, 0),
        ("new/5.png", "test", None, None, 0),
    ]
    assert read_as(data_set) == [
        "good, for training: 1 image in fine/",
        "good, for testing: 2 images in later/, mixed/good/",
        "defects, for testing: 1 image in mixed/dent/",
        "unlabelled, for testing: 1 image in new/",
    ]


def test_what_cannot_be_meant_is_refused(write: Write) -> None:
    top = write("s/lid/fine/1.png", "s/lid/dent/1.png", "s/cap/fine/1.png", "far/1.png")
    root = top / "s"
    (top / "none").mkdir()
    with pytest.raises(ConfigError, match="There is no folder fien"):
        read_data_set(Folders(root, good=["fine", "fien"]))
    with pytest.raises(ConfigError, match=r"There is no folder .*gone"):
        read_data_set(Folders(good=[root / "gone"]))
    with pytest.raises(ConfigError, match=r"holds 2 products.*folder of one product"):
        read_data_set(Folders(root, good=["fine", top / "far"]))
    with pytest.raises(ConfigError, match="two roles"):
        read_data_set(Folders(root / "lid", good="fine", masks="fine"))
    with pytest.raises(ConfigError, match="Leave one of them out"):
        read_data_set(Folders(root / "lid", good="fine"), layout="mvtec_ad")
    with pytest.raises(DataError, match="no usable images"):
        read_data_set(Folders(good=top / "none"))


def test_folders_are_counted_by_what_they_were_read_as(write: Write) -> None:
    root = write("ok/1.png", "ng/a/1.png", "ng/b/1.png", "ng/b/2.png", "gt/b/2.png", "gt/b/1.png")
    assert read_as(read_data_set(root)) == [
        "good, for training: 1 image in ok/",
        "defects, for testing: 3 images of 2 kinds (b, a) in ng/b/, ng/a/",
        "masks: 2 for 3 images with defects, gt/b/",
    ]


def test_a_folder_may_be_of_a_product_that_is_named(write: Write) -> None:
    root = write("a/bottle/1.png", "a/pill/1.png", "a/pill/2.png", "a/chips/1.png")
    one = read_data_set(Folders(good=[root / "a/bottle", root / "a/pill"]))
    assert one.products == ("a",)
    (said,) = [text for text in one.problems if "taken for" in text]
    assert said == (
        "a: bottle and pill are taken for good images of one product. If each is a product of its "
        f"own: --good bottle={root}/a/bottle --good pill={root}/a/pill"
    )
    good = [f"bottle={root}/a/bottle", f"pill={root}/a/pill"]
    two = read_data_set(Folders(good=good, defects=[f"pill={root}/a/chips"]))
    assert [(s.product, s.path.parent.name, s.label) for s in two.samples] == [
        ("bottle", "bottle", 0),
        ("pill", "pill", 0),
        ("pill", "pill", 0),
        ("pill", "chips", 1),
    ]
    assert not [text for text in two.problems if "taken for" in text]
    with pytest.raises(ConfigError, match=r"names a product, and .*chips does not.*PRODUCT="):
        read_data_set(Folders(good=good, defects=[root / "a/chips"]))
    with pytest.raises(ConfigError, match="There is no folder nix"):
        read_data_set(Folders(good=["pill=nix"]))
