"""Folders as people have them: which images are good, defective of which kind, with which mask."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish.data.layouts import Folders, read_data_set
from blemish.data.sources import training_data
from blemish.errors import DataError

Told = tuple[str, str, int | None, str | None, tuple[str, ...]]


@pytest.fixture
def read(tmp_path: Path, write_image: Callable[..., Path]) -> Callable[..., list[Told]]:
    """Writes the named images and reads their folder: path, split, label, kind and masks."""

    def read(*names: str, values: dict[str, int] | None = None) -> list[Told]:
        root = tmp_path / "part"
        for name in names:
            write_image(root / name, (values or {}).get(name, 100))
        data_set = read_data_set(root)
        read.problems = "\n".join(data_set.problems)  # type: ignore[attr-defined]
        assert data_set.products == ("part",)

        def short(path: Path) -> str:
            return path.relative_to(root).as_posix()

        return [
            (short(s.path), s.split, s.label, s.defect_kind, tuple(map(short, s.mask_paths)))
            for s in data_set.samples
        ]

    return read


def test_good_crack_and_a_mask_folder_of_the_kind(read: Callable[..., list[Told]]) -> None:
    assert read("good/1.png", "good/2.png", "crack/1.png", "mask/crack/1.png") == [
        ("good/1.png", "train", 0, None, ()),
        ("good/2.png", "train", 0, None, ()),
        ("crack/1.png", "test", 1, "crack", ("mask/crack/1.png",)),
    ]


def test_normal_abnormal_and_an_unlabelled_test_folder(read: Callable[..., list[Told]]) -> None:
    assert read("normal/1.png", "normal/2.png", "abnormal/1.png", "test/1.png") == [
        ("normal/1.png", "train", 0, None, ()),
        ("normal/2.png", "train", 0, None, ()),
        ("abnormal/1.png", "test", 1, "abnormal", ()),
        ("test/1.png", "test", None, None, ()),
    ]


def test_normal_test_is_good_and_for_testing(read: Callable[..., list[Told]]) -> None:
    assert read("normal/1.png", "normal_test/1.png", "abnormal/1.png") == [
        ("normal/1.png", "train", 0, None, ()),
        ("abnormal/1.png", "test", 1, "abnormal", ()),
        ("normal_test/1.png", "test", 0, None, ()),
    ]


def test_folders_with_affixes(read: Callable[..., list[Told]]) -> None:
    assert read("normal_dir/1.png", "abnormal_dir/2.png", "mask_dir/2.png") == [
        ("normal_dir/1.png", "train", 0, None, ()),
        ("abnormal_dir/2.png", "test", 1, "abnormal_dir", ("mask_dir/2.png",)),
    ]


def test_kinds_in_a_folder_of_defects_and_masks_in_a_kind(read: Callable[..., list[Told]]) -> None:
    assert read(
        "OK parts/1.png", "NG/crack/1.png", "NG/crack/masks/1.png", "NG/dent/1.png", "gt/dent/1.png"
    ) == [
        ("OK parts/1.png", "train", 0, None, ()),
        ("NG/crack/1.png", "test", 1, "crack", ("NG/crack/masks/1.png",)),
        ("NG/dent/1.png", "test", 1, "dent", ("gt/dent/1.png",)),
    ]


def test_splits_inside_good_and_bad(read: Callable[..., list[Told]]) -> None:
    assert read("good/train/1.png", "good/test/2.png", "bad/test/1.png") == [
        ("good/train/1.png", "train", 0, None, ()),
        ("bad/test/1.png", "test", 1, "bad", ()),
        ("good/test/2.png", "test", 0, None, ()),
    ]


def test_images_and_masks_in_wrappers(read: Callable[..., list[Told]]) -> None:
    assert read("images/good/1.png", "images/hole/1.png", "labels/hole/1.png") == [
        ("images/good/1.png", "train", 0, None, ()),
        ("images/hole/1.png", "test", 1, "hole", ("labels/hole/1.png",)),
    ]


@pytest.mark.parametrize("suffix", ["_mask", "_label", "_GT", "-mask"])
def test_masks_beside_their_images(suffix: str, read: Callable[..., list[Told]]) -> None:
    mask = f"dent/1{suffix}.png"
    assert read("ok/1.png", "dent/1.jpg", mask) == [
        ("ok/1.png", "train", 0, None, ()),
        ("dent/1.jpg", "test", 1, "dent", (mask,)),
    ]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("train/1.png", "train/1_GT.png"),
        ("train/images/1.png", "train/masks/1.png"),
        ("train/images/1.png", "masks/train/1.png"),
    ],
)
def test_masks_say_which_of_unsorted_images_are_good(
    image: str, mask: str, read: Callable[..., list[Told]]
) -> None:
    names = [name.replace("1", number) for number in "12" for name in (image, mask)]
    marked = mask.replace("1", "2")
    values = {names[1]: 0, marked: 255}
    assert read(*names, values=values) == [
        (image, "train", 0, None, ()),
        (image.replace("1", "2"), "train", 1, "defect", (marked,)),
    ]
    assert "1 whose mask marks nothing; 1 are defective" in read.problems  # type: ignore[attr-defined]


def test_an_unclear_folder_is_left_out_and_said(read: Callable[..., list[Told]]) -> None:
    told = read("good/1.png", "good_camera/1.png", "good_camera/2.png", "dent/1.png")
    assert [row[0] for row in told] == ["good/1.png", "dent/1.png"]
    problems = read.problems  # type: ignore[attr-defined]
    assert "good_camera/ (2 images) was left out" in problems
    assert "--good good_camera" in problems


def test_a_folder_of_labels_that_are_pictures_is_no_folder_of_masks(
    read: Callable[..., list[Told]], tmp_path: Path
) -> None:
    (tmp_path / "part" / "labels").mkdir(parents=True)
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) % 251
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "part" / "labels" / "1.png")
    assert [row[0] for row in read("good/1.png", "dent/1.png")] == ["good/1.png", "dent/1.png"]
    assert "labels/ (1 images) was left out" in read.problems  # type: ignore[attr-defined]


def test_equal_names_are_not_shared_but_other_ones_are_found(
    read: Callable[..., list[Told]],
) -> None:
    told = read("ok/1.png", "dent/1.png", "dent/2.png", "hole/1.png", "mask/1.png", "mask/2.png")
    assert [(row[0], row[4]) for row in told if row[2]] == [
        ("dent/1.png", ()),
        ("dent/2.png", ("mask/2.png",)),
        ("hole/1.png", ()),
    ]
    assert "1 masks belong to no image" in read.problems  # type: ignore[attr-defined]


def test_composed_and_decomposed_names_are_the_same(read: Callable[..., list[Told]]) -> None:
    kind, name = "sprünge", "teil_ä"
    image = f"{kind}/{name}.png"
    mask = unicodedata.normalize("NFD", f"mask/{kind}/{name}.png")
    assert mask != f"mask/{kind}/{name}.png"
    told = read("gut/1.png", image, mask)
    assert told[1] == (image, "test", 1, kind, (mask,))


def test_a_product_called_label_is_a_product(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    for name in ("label/good/1.png", "cap/ok/1.png", "cap/NG/1.png"):
        write_image(tmp_path / name)
    assert read_data_set(tmp_path).products == ("cap", "label")


def test_without_a_good_folder_the_flag_is_named(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    write_image(tmp_path / "0" / "1.png")
    write_image(tmp_path / "1" / "1.png")
    with pytest.raises(DataError, match=r"--good DIR"):
        read_data_set(tmp_path, layout="folder")


def test_masks_belong_to_the_folder_that_theirs_lies_in(read: Callable[..., list[Told]]) -> None:
    told = read("train/1.png", "test_public/ground_truth/2.png", "test_private/2.png")
    assert [(row[0], row[2], row[4]) for row in told] == [
        ("train/1.png", 0, ()),
        ("test_private/2.png", None, ()),
    ]


def test_a_folder_with_good_images_in_it_is_no_kind(read: Callable[..., list[Told]]) -> None:
    told = read("train/good/1.png", "test/lid/good/1.png", "test/lid/dent/1.png", "test/cut/2.png")
    assert [row[0] for row in told] == ["train/good/1.png", "test/cut/2.png"]
    problems = read.problems  # type: ignore[attr-defined]
    assert "test/lid/ (2 images) was left out: it holds good images" in problems


def test_what_programs_wrote_is_no_kind(read: Callable[..., list[Told]]) -> None:
    told = read("good/1.png", "NG/1.png", "heatmaps/1.png", "results/1.png")
    assert [row[0] for row in told] == ["good/1.png", "NG/1.png"]
    assert read.problems.count("was left out") == 2  # type: ignore[attr-defined]


def test_numbered_masks_and_images_that_are_called_image(read: Callable[..., list[Told]]) -> None:
    told = read(
        *("good/1.png", "crack/1.png", "masks/1_mask_1.png", "masks/1_mask_2.png"),
        *("dent/image7.png", "masks/mask7.png", "dent/img_8.png", "masks/mask_8.png"),
    )
    assert [(line[0], line[4]) for line in told if line[2]] == [
        ("crack/1.png", ("masks/1_mask_1.png", "masks/1_mask_2.png")),
        ("dent/image7.png", ("masks/mask7.png",)),
        ("dent/img_8.png", ("masks/mask_8.png",)),
    ]


def test_images_that_are_called_good_or_not(tmp_path: Path, write_image: Any) -> None:
    for name in ("OK_1", "OK_2", "NG_1", "lid_defect_3", "other"):
        write_image(tmp_path / "part" / f"{name}.png")
    data_set = training_data(tmp_path / "part")
    assert {(s.path.stem, s.split, s.label) for s in data_set.samples} == {
        ("OK_1", "train", 0),
        ("OK_2", "train", 0),
        ("NG_1", "test", 1),
        ("lid_defect_3", "test", 1),
    }
    (said,) = data_set.problems
    assert "2, such as OK_1.png; 2, such as" in said
    assert "1 say neither and were left out" in said
    (tmp_path / "part" / "OK_1.png").unlink()
    (tmp_path / "part" / "OK_2.png").unlink()
    data_set = training_data(tmp_path / "part")
    assert [(s.path.stem, s.label) for s in data_set.samples if s.is_good] == [("other", 0)]
    (tmp_path / "part" / "other.png").unlink()
    with pytest.raises(DataError, match="none of which can be good by its name: lid_defect"):
        training_data(tmp_path / "part")
    assert len(training_data(Folders(good=tmp_path / "part")).samples) == 2
    (tmp_path / "part").rename(tmp_path / "good parts")  # what the folder says goes before
    assert all(s.is_good for s in training_data(tmp_path / "good parts").samples)


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("images/train/{}.png", "labels/train/{}.txt"),
        ("train/images/{}.png", "train/labels/{}.txt"),
        ("good/{}.png", "good/{}.txt"),
    ],
)
def test_images_with_boxes_in_text_files_are_not_good(
    read: Callable[..., list[Told]], tmp_path: Path, image: str, text: str
) -> None:
    boxes = "0 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.1 0.1"
    contents = {"1": "", "2": boxes, "3": "taken at 7:20", "4": None}
    for number, content in contents.items():
        path = tmp_path / "part" / text.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_text(content)
    told = read(*(image.format(number) for number in contents))
    assert [Path(line[0]).stem for line in told] == ["1", "3", "4"]
    assert "text files mark boxes in 1 images" in read.problems  # type: ignore[attr-defined]


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"PK")
    for root in (tmp_path, tmp_path / "data.zip"):
        with pytest.raises(DataError, match=r"Unpack data\.zip first"):
            read_data_set(root)


def test_0_and_1_alone_are_left_out_and_said(read: Callable[..., Any]) -> None:
    """``0`` is good in most lists of labels: as a kind of defect it would be misread."""
    found = read("train/a.png", "train/b.png", "test/0/a.png", "test/1/a.png")
    assert [name for name, *_ in found] == ["train/a.png", "train/b.png"]
    assert "test/0/ (1 images) was left out" in read.problems  # type: ignore[attr-defined]


def test_numbered_kinds_are_kinds(read: Callable[..., Any]) -> None:
    found = read("good/a.png", "good/b.png", "0/a.png", "1/a.png")
    assert [kind for *_, kind, _ in found if kind] == ["0", "1"]


@pytest.mark.parametrize("name", ["backup", "raw", "reference", "calibration", "thumbs", "unknown"])
def test_what_somebody_keeps_is_no_kind_of_defect(read: Callable[..., Any], name: str) -> None:
    found = read("good/a.png", "good/b.png", "crack/a.png", f"{name}/a.png")
    assert [kind for *_, kind, _ in found if kind] == ["crack"]
    assert f"{name}/ (1 images) was left out" in read.problems  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["NG_parts", "defects", "masks"])
def test_a_folder_called_defective_is_not_learned_unasked(
    tmp_path: Path, write_image: Any, name: str
) -> None:
    for number in range(3):
        write_image(tmp_path / name / f"{number}.png")
    with pytest.raises(DataError, match=rf"{name} says that it holds .* --good .*{name}"):
        training_data(tmp_path / name)
    assert len(training_data(Folders(good=tmp_path / name)).samples) == 3
    write_image(tmp_path / name / "good_4.png")  # a name that says otherwise
    data_set = training_data(tmp_path / name)
    assert [s.path.name for s in data_set.samples] == ["good_4.png"]
    assert "3 say neither and were left out" in data_set.problems[0]


def test_images_in_a_wrapper_alone_are_read(tmp_path: Path, write_image: Any) -> None:
    for number in range(3):
        write_image(tmp_path / "lid" / "images" / f"{number}.png")
    data_set = training_data(tmp_path / "lid")
    assert (data_set.products, len(data_set.samples)) == (("lid",), 3)
    write_image(tmp_path / "lid" / "images" / "NG_3.png")
    assert sum(s.is_good for s in training_data(tmp_path / "lid").samples) == 3
