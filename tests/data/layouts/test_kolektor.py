from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from blemish.data.layouts import read_data_set
from blemish.data.sample import hold_out
from blemish.errors import DataError

Write = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, write_image: Write) -> Path:
    """Six items of four views; of each the second is defective."""
    for item in range(1, 7):
        for view in range(4):
            folder = tmp_path / "commutator" / f"kos{item:02}"
            write_image(folder / f"Part{view}.jpg")
            write_image(folder / f"Part{view}_label.bmp", 255 if view == 1 else 0)
    return tmp_path / "commutator"


def test_an_empty_mask_means_good_and_items_are_never_divided(root: Path) -> None:
    data_set = read_data_set(root)
    assert (data_set.layout, data_set.products) == ("kolektor", ("commutator",))
    tested = {s.part for s in data_set.split("test").samples}
    assert tested == {"kos03", "kos06"}
    assert {s.part for s in data_set.split("train").samples}.isdisjoint(tested)
    for part in tested:
        views = [s for s in data_set.samples if s.part == part]
        assert [(s.path.name, s.label) for s in views] == [
            ("Part0.jpg", 0),
            ("Part1.jpg", 1),
            ("Part2.jpg", 0),
            ("Part3.jpg", 0),
        ]
        assert views[1].mask_paths == (root / part / "Part1_label.bmp",)
        assert (views[0].mask_paths, views[0].defect_kind) == ((), None)
        assert views[1].defect_kind == "defect"
    good = [s for s in data_set.split("train").samples if s.is_good]
    assert len(good) == 4 * 3
    kept, held = hold_out(good, 0.3, seed=0)
    assert not {s.part for s in kept} & {s.part for s in held}
    assert "4 training images are defective" in data_set.problems[0]


def test_views_without_a_readable_mask_are_left_out(root: Path) -> None:
    (root / "kos01" / "Part0_label.bmp").unlink()
    (root / "kos02" / "Part0_label.bmp").write_bytes(b"no image")
    data_set = read_data_set(root)
    text = "\n".join(data_set.problems)
    assert "kos01/Part0.jpg is left out" in text
    assert "it has no mask" in text
    assert "kos02/Part0.jpg is left out" in text
    assert len(data_set.samples) == 22
    with pytest.raises(DataError, match="no folder called kos01"):
        read_data_set(root / "kos01", layout="kolektor")


def test_kolektor_2_is_a_folder_of_images_with_masks(tmp_path: Path, write_image: Write) -> None:
    for split in ("train", "test"):
        for number in range(3):
            write_image(tmp_path / split / f"{number}.png")
            write_image(tmp_path / split / f"{number}_GT.png", 255 if number == 2 else 0)
    data_set = read_data_set(tmp_path)
    told = [(s.path.name, s.split, s.label, len(s.mask_paths)) for s in data_set.samples]
    assert told == [
        *(("0.png", "train", 0, 0), ("1.png", "train", 0, 0), ("2.png", "train", 1, 1)),
        *(("0.png", "test", 0, 0), ("1.png", "test", 0, 0), ("2.png", "test", 1, 1)),
    ]
