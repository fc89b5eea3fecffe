from __future__ import annotations

import gzip
import os
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from blemish.data.layouts import read_data_set
from blemish.data.layouts.arrays import CLASSES, read_idx
from blemish.errors import DataError

MNIST_LABELS = [5, 0, 4, 1, 9, 2, 1, 3, 6, 7, 8]
FASHION_LABELS = [9, 0, 0, 3, 0, 2, 7, 2, 1, 4, 5, 6, 8]


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def _write(root: Path, labels: list[int], *, zipped: bool = True, dotted: bool = False) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for prefix in ("train", "t10k"):
        numbers = np.array(labels, np.uint8)
        images = np.zeros((len(labels), 5, 4), np.uint8)
        images[:] = (numbers + (10 if prefix == "train" else 20))[:, None, None]
        for kind, array in (("images-idx3", images), ("labels-idx1", numbers)):
            data = _idx(array)
            name = f"{prefix}-{kind.replace('-', '.', 1) if dotted else kind}-ubyte"
            (root / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)
    return root


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dotted", [True, False])
def test_mnist(tmp_path: Path, zipped: bool, dotted: bool) -> None:
    data_set = read_data_set(_write(tmp_path, MNIST_LABELS, zipped=zipped, dotted=dotted))
    assert data_set.layout == "mnist"
    assert data_set.products == tuple("0123456789")
    assert data_set.problems == ()
    assert {s.label for s in data_set.samples} == {0}
    ones = data_set.of_products(["1"])
    assert [s.split for s in ones.samples] == ["train", "train", "test", "test"]
    assert [s.path.name.partition("#")[2] for s in ones.samples] == ["3", "6", "3", "6"]
    for sample in data_set.samples:
        assert sample.image is not None
        assert sample.image.shape == (5, 4)
        assert (sample.image == int(sample.product) + (10 if sample.split == "train" else 20)).all()


def test_fashion_is_told_by_its_labels(tmp_path: Path) -> None:
    data_set = read_data_set(_write(tmp_path / "mnist", FASHION_LABELS))
    assert (data_set.layout, data_set.products) == ("fashion_mnist", CLASSES["fashion_mnist"])
    with pytest.raises(DataError, match="those of fashion_mnist"):
        read_data_set(tmp_path / "mnist", layout="mnist")


def test_both_beside_each_other(tmp_path: Path) -> None:
    _write(tmp_path / "MNIST" / "raw", MNIST_LABELS)
    _write(tmp_path / "FashionMNIST" / "raw", FASHION_LABELS)
    assert read_data_set(tmp_path, layout="mnist").products[0] == "0"
    assert read_data_set(tmp_path, layout="fashion_mnist").products[0] == "tshirt_top"


def test_labels_of_neither(tmp_path: Path) -> None:
    data_set = read_data_set(_write(tmp_path / "my-fashion", [0, 1, 2]))
    assert data_set.layout == "fashion_mnist"
    assert "do not begin like" in data_set.problems[0]
    assert read_data_set(_write(tmp_path / "digits", [0, 1, 2])).layout == "mnist"


def test_images_are_views_of_one_array(tmp_path: Path) -> None:
    samples = read_data_set(_write(tmp_path, MNIST_LABELS)).split("train").samples
    owners = {id(s.image.base) for s in samples if s.image is not None}
    assert len(owners) == 1


IMAGES = _idx(np.zeros((2, 3, 3), np.uint8))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "magic"),
        (b"\0\0\x08", "magic"),
        (_idx(np.zeros(18, np.uint8)), "0x801, expected 0x803"),
        (b"\0\0\x0d\x03" + IMAGES[4:], "0xd03, expected 0x803"),
        (b"<html>not found</html>", "magic"),
        (IMAGES[:-1], "announces 18 bytes, found 17"),
        (IMAGES + b"\0", "found more than 18"),
        (struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1), "values, shape"),
        (struct.pack(">4I", 0x803, 0, 28, 28), "0 values"),
        (gzip.compress(IMAGES, mtime=0)[:-12], "Cannot read"),
        (gzip.compress(IMAGES, mtime=0)[:-6] + b"\0\0\0\0\0\0", "Cannot read"),
        (b"\x1f\x8b" + b"junk" * 9, "Cannot read"),
    ],
)
def test_damaged_files(tmp_path: Path, data: bytes, words: str) -> None:
    _write(tmp_path, MNIST_LABELS)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(data)
    with pytest.raises(DataError, match=words) as caught:
        read_idx(path, dimensions=3)
    assert str(path) in str(caught.value)
    with pytest.raises(DataError, match=words):
        read_data_set(tmp_path)


def test_missing_and_mismatched_files(tmp_path: Path) -> None:
    _write(tmp_path, MNIST_LABELS)
    labels = tmp_path / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(_idx(np.zeros(3, np.uint8)))
    with pytest.raises(DataError, match="11 images, its labels are 3"):
        read_data_set(tmp_path)
    labels.write_bytes(_idx(np.full(11, 10, np.uint8)))
    with pytest.raises(DataError, match="from 10 to 10"):
        read_data_set(tmp_path)
    labels.unlink()
    with pytest.raises(DataError, match="all four IDX files"):
        read_data_set(tmp_path)


def test_the_real_fashion_mnist() -> None:
    root = Path(os.environ.get("BLEMISH_FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
    if not root.is_dir():
        pytest.skip(
            "needs Fashion-MNIST: install Debian's dataset-fashion-mnist, or name the folder of "
            "its IDX files in BLEMISH_FASHION_MNIST"
        )
    data_set = read_data_set(root)
    assert (data_set.layout, data_set.problems) == ("fashion_mnist", ())
    counted = Counter((s.product, s.split) for s in data_set.samples)
    assert counted == {
        (name, split): n
        for name in CLASSES["fashion_mnist"]
        for split, n in (("train", 6000), ("test", 1000))
    }
    sample = data_set.samples[0]
    assert sample.image is not None
    assert sample.image.shape == (28, 28)
    trousers = [s.image for s in data_set.of_products(["trouser"]).split("train").samples]
    mean = np.mean([image for image in trousers if image is not None], axis=0)  # (28, 28)
    assert mean[:, 10:18].mean() > 3 * mean[:, :6].mean()  # upright, in the middle
