from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.data.good_images import good_images
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import DataSet, Sample
from blemish.data.sources import images_to_judge, load_input, training_data
from blemish.errors import BlemishError, ConfigError, DataError, ImageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/10.png", "b/2.png", "a.jpg", "notes.txt", ".hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name.endswith("txt"):
            (tmp_path / name).write_text("no image")
        else:
            Image.new("L", (4, 4)).save(tmp_path / name)
    return tmp_path


def test_folders_are_searched_in_natural_order(folder: Path) -> None:
    samples = images_to_judge(folder)
    assert [str(s.path.relative_to(folder)) for s in samples] == ["a.jpg", "b/2.png", "b/10.png"]
    assert {(s.label, s.split, s.product) for s in samples} == {(None, "test", "")}
    assert [s.path.name for s in images_to_judge(str(folder), recursive=False)] == ["a.jpg"]


def test_files_folders_arrays_and_samples_mix_in_the_given_order(folder: Path) -> None:
    known = Sample(folder / "a.jpg", "nut", "test", 1)
    array = np.zeros((5, 6), np.uint8)
    samples = images_to_judge([folder / "b", known, array, str(folder / "a.jpg")])
    assert [s.path.name for s in samples] == ["2.png", "10.png", "a.jpg", "array#2", "a.jpg"]
    assert samples[2] is known


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        ((8, 9), 1),
        ((8, 9, 1), 1),
        ((8, 9, 3), 1),
        ((8, 9, 4), 1),
        ((5, 8, 9), 5),
        ((5, 8, 9, 3), 5),
    ],
)
def test_an_array_is_one_image_or_many(shape: tuple[int, ...], count: int) -> None:
    samples = images_to_judge(np.zeros(shape, np.uint8) + 9)
    assert len(samples) == count
    assert all(s.image is not None and s.image.shape == (8, 9, 3) for s in samples)
    assert len({s.path for s in samples}) == count


def test_a_data_set_keeps_its_samples() -> None:
    data_set = DataSet("folder", Path("x"), (Sample(Path("a.png"), "nut", "train", 0),))
    assert images_to_judge(data_set) == list(data_set.samples)
    assert training_data(data_set) is data_set


def test_what_is_not_there_is_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png does not exist"):
        images_to_judge([folder / "a.jpg", folder / "gone.png"])
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(DataError, match="sub-folders included"):
        images_to_judge(tmp_path / "empty")
    Image.new("L", (4, 4)).save(tmp_path / "empty" / "deeper" / "a.png")
    with pytest.raises(DataError, match="sub-folders were not searched"):
        images_to_judge(tmp_path / "empty", recursive=False)


def test_training_arrays_are_good_images_of_one_product() -> None:
    data_set = training_data(np.zeros((3, 8, 9), np.uint8))
    assert data_set.products == ("product",)
    assert all(s.is_good and s.split == "train" for s in data_set.samples)
    assert [s.path.name for s in data_set.samples] == ["array#0", "array#1", "array#2"]


def test_a_list_of_files_and_pictures_is_good_images_of_one_product(tmp_path: Path) -> None:
    Image.new("RGB", (9, 8)).save(tmp_path / "a.png")
    pixels = np.zeros((8, 9, 3), np.uint8)
    given = [tmp_path / "a.png", str(tmp_path / "a.png"), pixels, Image.fromarray(pixels)]
    samples = training_data(given).samples
    assert [s.path.name for s in samples] == ["a.png", "a.png", "array#2", "array#3"]
    assert {(s.product, s.split, s.label) for s in samples} == {("product", "train", 0)}
    assert len(training_data(iter(given)).samples) == 4
    with pytest.raises(DataError, match="is a folder"):
        training_data([*given, tmp_path])  # defects may lie in it
    unlabelled = Sample(tmp_path / "a.png", "nut", "test", None)
    samples = training_data([unlabelled, pixels]).samples
    assert [(s.product, s.split, s.label) for s in samples] == [
        ("nut", "train", 0),
        ("product", "train", 0),
    ]
    with pytest.raises(DataError, match="labelled a defect"):
        training_data([replace(unlabelled, label=1)])
    with pytest.raises(ConfigError, match="list of pictures"):
        training_data(given, layout="visa")
    with pytest.raises(DataError, match="Something of type NoneType"):
        training_data([None])  # type: ignore[list-item]
    with pytest.raises(DataError, match="Something of type int"):
        training_data(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(8, 9), (0, 8, 9), (2, 3, 4, 5, 6), (3, 8, 9, 7), (4, 0, 9)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError):
        training_data(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("dtype", [np.int64, np.complex64, np.bool_])
def test_other_types_are_refused(dtype: type) -> None:
    with pytest.raises(DataError):
        training_data(np.zeros((3, 8, 9), dtype))
    with pytest.raises(DataError):
        images_to_judge(np.zeros((8, 9), dtype))


def test_a_row_of_numbers_is_no_image() -> None:
    with pytest.raises(DataError, match=r"\(5,\)"):
        images_to_judge(np.zeros(5, np.uint8))


def test_sixteen_bits_follow_the_bit_depth() -> None:
    values = np.full((2, 5, 6), 1023, np.uint16)
    for samples in (
        training_data(values, bit_depth=10).samples,
        images_to_judge(values, bit_depth=10),
        images_to_judge([values[0]], bit_depth=10),
    ):
        assert samples[0].image is not None
        assert (samples[0].image == 255).all()
    assert images_to_judge(values)[0].image.max() == 4  # type: ignore[union-attr]


def test_a_folder_of_nothing_but_images_is_good_to_train_on(folder: Path) -> None:
    data_set = training_data(folder / "b")
    assert (data_set.layout, data_set.products) == ("folder", ("b",))
    assert [(s.path.name, s.label, s.split) for s in data_set.samples] == [
        ("2.png", 0, "train"),
        ("10.png", 0, "train"),
    ]
    assert any("all 2 are taken as good" in problem for problem in data_set.problems)
    with pytest.raises(DataError, match="no known layout"):
        training_data(folder)  # with folders beside the images nobody knows which are good
    (folder / "b" / "scratch").mkdir()
    with pytest.raises(DataError, match="no known layout"):
        training_data(folder / "b")


def test_a_file_is_no_data_set(folder: Path) -> None:
    for path in (folder / "a.jpg", folder / "notes.txt"):
        with pytest.raises(BlemishError):
            training_data(path)


def test_a_data_set_says_in_one_line_what_it_holds() -> None:
    data_set = training_data(np.zeros((5, 28, 28), np.uint8))
    assert repr(data_set) == "DataSet('array', 'array', product: 5 train)"
    assert repr(data_set.split("test")) == "DataSet('array', 'array', no images)"
    samples = tuple(replace(s, product=s.path.name) for s in data_set.samples)
    many = replace(data_set, samples=samples)
    assert repr(many) == "DataSet('array', 'array', 5 products: 5 train)"


def test_the_pixels_of_a_sample_come_from_its_file_or_itself(tmp_path: Path) -> None:
    prepare = Preprocessing(32, 32, bit_depth=12)
    values = np.full((40, 20), 4095, np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    from_file, size, *_ = load_input(Sample(tmp_path / "a.png", "nut", "test", 0), prepare)
    assert size == (40, 20)
    held = Sample(Path("x#0"), "nut", "test", 0, image=np.full((40, 20), 255, np.uint8))
    from_memory, *_ = load_input(held, prepare)
    assert np.array_equal(from_file, from_memory)
    assert from_file.max() == 255
    with pytest.raises(ImageError, match=r"missing\.png"):
        load_input(Sample(tmp_path / "missing.png", "nut", "test", 0), prepare)


def test_a_file_is_read_once_for_its_pixels_and_its_content(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    open_path = Path.open

    def watched(path: Path, *args: str, **kwargs: str) -> object:
        opened.append(path)
        return open_path(path, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", watched)
    prepare, contents = Preprocessing(32, 32), list[bytes]()
    sample = Sample(folder / "a.jpg", "nut", "test", 0)

    def seen(content: bytes, _: object) -> None:
        contents.append(content)

    with_content = load_input(sample, prepare, seen=seen)
    assert opened == [sample.path]
    assert contents == [sample.path.read_bytes()]
    assert np.array_equal(with_content[0], load_input(sample, prepare)[0])
    with pytest.raises(ImageError, match=r"notes\.txt: found text"):
        load_input(Sample(folder / "notes.txt", "nut", "test", 0), prepare, seen=seen)
    with pytest.raises(ImageError, match=r"no such file"):
        load_input(Sample(folder / "none.png", "nut", "test", 0), prepare, seen=seen)
    assert len(contents) == 1


def test_masks_in_a_folder_are_not_judged_unless_they_are_asked_for(tmp_path: Path) -> None:
    names = [
        *("test/good/1.png", "test/dent/2.png", "test/dent/3.png", "test/dent/3_mask.png"),
        *("ground_truth/dent/2_mask.png", "ground_truth/dent/3/1.png", "labels/9.png"),
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    (tmp_path / "more.heic").touch()
    notes: list[str] = []
    found = images_to_judge(tmp_path, on_note=notes.append)
    judged = [s.path.relative_to(tmp_path).as_posix() for s in found]
    assert judged == ["labels/9.png", "test/dent/2.png", "test/dent/3.png", "test/good/1.png"]
    assert "1 file was left out: 1 .heic" in notes[0]
    assert "3 masks of images in" in notes[1]
    (tmp_path / "more.heic").unlink()
    with pytest.warns(UserWarning, match="3 masks"):
        assert len(images_to_judge(tmp_path)) == 4
    assert len(images_to_judge(tmp_path / "ground_truth")) == 2
    mask = tmp_path / "test" / "dent" / "3_mask.png"
    assert [s.path for s in images_to_judge(mask)] == [mask]


def test_pages_that_are_not_judged_are_said(tmp_path: Path) -> None:
    pages = [Image.new("L", (4, 4), value) for value in (10, 20, 30)]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "y.tif")
    content, prepare = (tmp_path / "x.tif").read_bytes(), Preprocessing(32, 32)
    for source in (tmp_path / "x.tif", content, Image.open(tmp_path / "x.tif")):
        (note,) = load_input(images_to_judge(source)[0], prepare).notes
        assert note.kind == "pages"
        assert note.sentence.startswith("It holds 3 pages or frames, of which only the first is")
    second = Image.open(tmp_path / "x.tif")
    second.seek(1)  # chosen, and so meant
    for source in (tmp_path / "y.tif", second):
        assert load_input(images_to_judge(source)[0], prepare).notes == ()
    _, notes = good_images(tmp_path)
    assert (
        "1 file holds several pages or frames, of which only the first is judged: x.tif (3)"
        in (notes[0])
    )


@pytest.mark.parametrize(
    ("largest", "depth", "said"),
    [
        (4095, 16, "look like 12 bits; read with 16 bits it is nearly black"),
        (300, 16, "look like 10 bits"),
        (5000, 12, "more than 12 bits hold and are read as white. .* --bit-depth 14"),
        (4096, 16, ""),
        (0, 16, ""),
        (4095, 12, ""),
    ],
)
def test_a_depth_that_cannot_be_right_is_said_of_each_picture(
    tmp_path: Path, largest: int, depth: int, said: str
) -> None:
    values = np.full((8, 8), largest, np.uint16)
    Image.fromarray(values).save(tmp_path / "a.tif")
    Image.fromarray(values).save(tmp_path / "a.png")
    for source in (tmp_path / "a.tif", (tmp_path / "a.png").read_bytes(), values):
        (sample,) = images_to_judge(source, bit_depth=depth)
        notes = load_input(sample, Preprocessing(32, 32, bit_depth=depth)).notes
        assert [note.kind for note in notes] == ["depth"] * bool(said)
        assert not said or re.search(said, notes[0].sentence)
