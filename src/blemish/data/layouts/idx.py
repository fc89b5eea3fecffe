"""MNIST (LeCun et al., 1998) and Fashion-MNIST (Xiao et al., 2017): arrays in IDX files.

::

    train-images-idx3-ubyte[.gz]  train-labels-idx1-ubyte[.gz]
    t10k-images-idx3-ubyte[.gz]   t10k-labels-idx1-ubyte[.gz]

These are classification data; nothing in them is defective. Each class is a *product* and every
sample has label 0. The one-class protocol chooses a normal class, keeps its training samples, and
relabels the test samples of the other classes as defective.

Both data sets use the same file names. They are told apart by their first training labels.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.data.layouts.base import Layout, Reading, found_in
from blemish.data.sample import Sample, Split
from blemish.errors import DataError

DIGITS = tuple("0123456789")
FASHION = ("tshirt_top", "trouser", "pullover", "dress", "coat",
           "sandal", "shirt", "sneaker", "bag", "ankle_boot")  # fmt: skip

_FILES: tuple[tuple[Split, str], ...] = (("train", "train"), ("test", "t10k"))
_FOLDERS = {  # the last ones as torchvision leaves them
    "mnist": (".", "raw", "MNIST/raw"),
    "fashion_mnist": (".", "raw", "FashionMNIST/raw"),
}
_CLASSES = {"mnist": DIGITS, "fashion_mnist": FASHION}
_FIRST_LABELS = {
    "mnist": [5, 0, 4, 1, 9, 2, 1, 3],
    "fashion_mnist": [9, 0, 0, 3, 0, 2, 7, 2],
}
_LARGEST = 2**31  # bytes after decompression; MNIST has 47 million


def read_idx(path: str | Path, *, dimensions: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, gzipped or not.

    Args:
        path: The file.
        dimensions: Number of dimensions expected: 3 for images (magic 0x803), 1 for labels
            (magic 0x801).

    Returns:
        ``(N, H, W)`` or ``(N,)`` uint8.

    Raises:
        DataError: Another magic number, fewer or more bytes than the header says, damaged gzip.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from blemish.data.layouts.idx import read_idx
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "labels"
        ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 3]))
        ...     read_idx(path, dimensions=1).tolist()
        [7, 3]
    """
    path = Path(path)
    expected_magic = 0x800 + dimensions
    header_size = 4 + 4 * dimensions
    try:
        with path.open("rb") as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            header = file.read(header_size)
            magic = int.from_bytes(header[:4], "big")
            if len(header) < header_size or magic != expected_magic:
                raise DataError(
                    f"{path} is no IDX file of the expected kind: found magic number {magic:#x}, "
                    f"expected {expected_magic:#x}. Download it again."
                )
            shape = struct.unpack(f">{dimensions}I", header[4:])
            size = math.prod(shape)
            if not 0 < size <= _LARGEST:
                raise DataError(
                    f"{path} says that it holds {size:,} values, shape {shape}. Expected between "
                    f"1 and {_LARGEST:,}; download it again."
                )
            # One more than needed, to notice a file that is too long without reading all of it.
            data = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"Cannot read {path}: {error}. Download it again.") from error
    if len(data) != size:
        found = f"{len(data):,}" if len(data) < size else f"more than {size:,}"
        raise DataError(
            f"{path} is cut short or damaged: its header announces {size:,} bytes, found {found}. "
            "Download it again."
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def class_samples(
    images: NDArray[np.uint8],
    labels: Sequence[int],
    classes: Sequence[str],
    split: Split,
    source: Path,
) -> dict[str, list[Sample]]:
    """One sample per image, grouped by class: product is the class, label 0 throughout.

    Args:
        images: ``(N, H, W)`` or ``(N, H, W, 3)``; samples hold views of it.
        labels: ``N`` class numbers.
        classes: Their names.
        split: Of all samples.
        source: File the images came from; the position is appended to it.
    """
    if len(images) != len(labels):
        raise DataError(
            f"{source} holds {len(images):,} images, its labels are {len(labels):,}. Expected as "
            "many; the files do not belong together. Download them again."
        )
    if len(labels) and not 0 <= min(labels) <= max(labels) < len(classes):
        raise DataError(
            f"The labels of {source} run from {min(labels)} to {max(labels)}. Expected 0 to "
            f"{len(classes) - 1}; download the files again."
        )
    groups: dict[str, list[Sample]] = {name: [] for name in classes}
    for i, label in enumerate(labels):
        name = classes[label]
        groups[name].append(Sample(Path(f"{source}#{i}"), name, split, 0, image=images[i]))
    return groups


def joined(parts: Sequence[dict[str, list[Sample]]]) -> list[Sample]:
    """Class by class, in the order of the classes, the parts in the order given."""
    return [sample for name in parts[0] for part in parts for sample in part[name]]


def _find(root: Path, name: str, prefix: str, kind: str) -> Path | None:
    stems = (f"{prefix}-{kind}-ubyte", f"{prefix}-{kind.replace('-', '.', 1)}-ubyte")
    places = (
        root / folder / (stem + suffix)
        for folder in _FOLDERS[name]
        for stem in stems
        for suffix in ("", ".gz")
    )
    return next((path for path in places if path.is_file()), None)


def _told_by_labels(labels: Path | None) -> str | None:
    """Whose training labels these are, ``None`` where they are nobody's or cannot be read."""
    try:
        first = read_idx(labels, dimensions=1)[:8].tolist() if labels else []
    except DataError:  # reading will say what is wrong
        return None
    return next((name for name, known in _FIRST_LABELS.items() if first == known), None)


def _recognise(root: Path, name: str) -> bool:
    if not root.is_dir():
        return False
    images = [_find(root, name, prefix, "images-idx3") for _, prefix in _FILES]
    if not any(images):
        return False
    told = _told_by_labels(_find(root, name, "train", "labels-idx1"))
    if told is None:
        around = "/".join(root.resolve().parts[-2:]).lower()
        told = "fashion_mnist" if "fashion" in around else "mnist"
    return told == name


def _read(root: Path, name: str) -> Reading:
    problems = []
    told = _told_by_labels(_find(root, name, "train", "labels-idx1"))
    if told is None:
        problems.append(
            f"The training labels do not begin like those of {name}: another data set or a part "
            "of it under the same file names."
        )
    elif told != name:
        raise DataError(
            f"The files in {root} are those of {told}, by their training labels; {name} was asked "
            f"for. Name the layout {told}, or another folder."
        )
    parts = []
    for split, prefix in _FILES:
        images = _find(root, name, prefix, "images-idx3")
        labels = _find(root, name, prefix, "labels-idx1")
        if images is None or labels is None:
            raise DataError(
                f"Found no {prefix}-images-idx3-ubyte and {prefix}-labels-idx1-ubyte (with or "
                f"without .gz) in {root}; found {found_in(root)}. Expected all four IDX files."
            )
        pixels = read_idx(images, dimensions=3)  # (N, H, W)
        numbers = read_idx(labels, dimensions=1).tolist()  # (N,)
        parts.append(class_samples(pixels, numbers, _CLASSES[name], split, images))
    return joined(parts), problems


MNIST = Layout(
    "mnist",
    "the four IDX files train-images-idx3-ubyte[.gz] …",
    lambda root: _recognise(root, "mnist"),
    lambda root: _read(root, "mnist"),
)
FASHION_MNIST = Layout(
    "fashion_mnist",
    "the four IDX files of Fashion-MNIST",
    lambda root: _recognise(root, "fashion_mnist"),
    lambda root: _read(root, "fashion_mnist"),
)
