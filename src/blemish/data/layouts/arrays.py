"""Array files: MNIST and Fashion-MNIST in the IDX format, CIFAR-10 in pickled batches.

``mnist`` (LeCun et al., 1998) and ``fashion_mnist`` (Xiao et al., 2017), which use the same file
names and are told apart by their first training labels::

    train-images-idx3-ubyte[.gz]  train-labels-idx1-ubyte[.gz]
    t10k-images-idx3-ubyte[.gz]   t10k-labels-idx1-ubyte[.gz]

``cifar10`` (Krizhevsky, 2009), python version: the archive or its unpacked folder::

    cifar-10-python.tar.gz                                (md5 checked, read without unpacking)
    cifar-10-batches-py/data_batch_1 … data_batch_5, test_batch

These are classification data; nothing in them is defective. Each class is a *product* and every
sample has label 0. The one-class protocol chooses a normal class, keeps its training samples, and
relabels the test samples of the other classes as defective.

CIFAR's batches are pickles. A pickle is a program: it is read here by an unpickler that knows four
names, none of which does more than hold the bytes of an array.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import pickle
import struct
import tarfile
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.data.layouts.base import Layout, Reading, found_in
from blemish.data.sample import Sample, Split
from blemish.errors import DataError

CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": ("tshirt_top", "trouser", "pullover", "dress", "coat",
                      "sandal", "shirt", "sneaker", "bag", "ankle_boot"),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer",
                "dog", "frog", "horse", "ship", "truck"),
}  # fmt: skip
ARCHIVE_NAME = "cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"

_IDX_FILES: tuple[tuple[Split, str], ...] = (("train", "train"), ("test", "t10k"))
_IDX_FOLDERS = {  # the last ones as torchvision leaves them
    "mnist": (".", "raw", "MNIST/raw"),
    "fashion_mnist": (".", "raw", "FashionMNIST/raw"),
}
_FIRST_LABELS = {"mnist": [5, 0, 4, 1, 9, 2, 1, 3], "fashion_mnist": [9, 0, 0, 3, 0, 2, 7, 2]}
_LARGEST_IDX = 2**31  # bytes after decompression; MNIST has 47 million
_CIFAR_FOLDER = "cifar-10-batches-py"
_BATCHES: tuple[tuple[str, Split], ...] = (
    *((f"data_batch_{i}", "train") for i in range(1, 6)),
    ("test_batch", "test"),
)
_LARGEST_BATCH = 64 * 2**20  # bytes; a batch has 31 million


def read_idx(path: str | Path, *, dimensions: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, gzipped or not.

    Three ``dimensions`` for images ``(N, H, W)`` (magic 0x803), one for labels (magic 0x801).

    Raises:
        DataError: Another magic number, fewer or more bytes than the header says, damaged gzip.
    """
    path = Path(path)
    expected = 0x800 + dimensions
    try:
        with path.open("rb") as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            header = file.read(4 + 4 * dimensions)
            magic = int.from_bytes(header[:4], "big")
            if len(header) < 4 + 4 * dimensions or magic != expected:
                raise DataError(
                    f"{path} is no IDX file of the expected kind: found magic number {magic:#x}, "
                    f"expected {expected:#x}. Download it again."
                )
            shape = struct.unpack(f">{dimensions}I", header[4:])
            size = math.prod(shape)
            if not 0 < size <= _LARGEST_IDX:
                raise DataError(
                    f"{path} says that it holds {size:,} values, shape {shape}. Expected between "
                    f"1 and {_LARGEST_IDX:,}; download it again."
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
    images: NDArray[np.uint8], labels: Sequence[int], layout: str, split: Split, source: Path
) -> list[Sample]:
    """One sample per image, which is a view of ``images``: the product is its class, the label 0.

    The position in the file ``source`` is appended to its path.
    """
    classes = CLASSES[layout]
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
    return [
        Sample(Path(f"{source}#{i}"), classes[label], split, 0, image=images[i])
        for i, label in enumerate(labels)
    ]


def _by_class(samples: list[Sample], layout: str) -> list[Sample]:
    """Class by class, in the order of the classes; within one as given."""
    return sorted(samples, key=lambda sample: CLASSES[layout].index(sample.product))


def _find_idx(root: Path, name: str, prefix: str, kind: str) -> Path | None:
    stems = (f"{prefix}-{kind}-ubyte", f"{prefix}-{kind.replace('-', '.', 1)}-ubyte")
    places = (
        root / folder / (stem + suffix)
        for folder in _IDX_FOLDERS[name]
        for stem in stems
        for suffix in ("", ".gz")
    )
    return next((path for path in places if path.is_file()), None)


def _told_by_labels(root: Path, name: str) -> str | None:
    """Whose training labels these are, ``None`` where they are nobody's or cannot be read."""
    labels = _find_idx(root, name, "train", "labels-idx1")
    try:
        first = read_idx(labels, dimensions=1)[:8].tolist() if labels else []
    except DataError:  # reading will say what is wrong
        return None
    return next((other for other, known in _FIRST_LABELS.items() if first == known), None)


def _recognise_idx(name: str, root: Path) -> bool:
    images = (_find_idx(root, name, prefix, "images-idx3") for _, prefix in _IDX_FILES)
    if not root.is_dir() or not any(images):
        return False
    around = "/".join(root.resolve().parts[-2:]).lower()
    guess = "fashion_mnist" if "fashion" in around else "mnist"
    return (_told_by_labels(root, name) or guess) == name


def _read_idx_files(name: str, root: Path) -> Reading:
    problems = []
    told = _told_by_labels(root, name)
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
    samples: list[Sample] = []
    for split, prefix in _IDX_FILES:
        images = _find_idx(root, name, prefix, "images-idx3")
        labels = _find_idx(root, name, prefix, "labels-idx1")
        if images is None or labels is None:
            raise DataError(
                f"Found no {prefix}-images-idx3-ubyte and {prefix}-labels-idx1-ubyte (with or "
                f"without .gz) in {root}; found {found_in(root)}. Expected all four IDX files."
            )
        pixels = read_idx(images, dimensions=3)  # (N, H, W)
        numbers = read_idx(labels, dimensions=1).tolist()  # (N,)
        samples += class_samples(pixels, numbers, name, split, images)
    return _by_class(samples, name), problems


class _Array:
    """Stands in for a NumPy array inside a pickle: keeps shape, type and bytes, runs nothing."""

    pixels: NDArray[np.uint8]

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _DType) or dtype.code not in ("u1", "|u1", b"u1", b"|u1"):
            raise pickle.UnpicklingError(f"an array that is not uint8: {dtype!r}")
        if fortran or not isinstance(data, bytes) or not isinstance(shape, tuple):
            raise pickle.UnpicklingError("an array in an unknown form")
        self.pixels = np.frombuffer(data, np.uint8).reshape(shape)


class _DType:
    """Stands in for ``numpy.dtype``."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment mean nothing for single bytes."""


class _Marker:
    """Stands in for the class ``numpy.ndarray``, which is named but never called."""


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes(*values: Any) -> bytes:
    if values:
        raise pickle.UnpicklingError("a call of bytes with values")
    return b""


class _Unpickler(pickle.Unpickler):
    """Knows the names that occur in CIFAR's batches, under NumPy's old and new module names."""

    _known = {  # noqa: RUF012  never changed
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): _Marker,
        ("numpy", "dtype"): _DType,
        ("_codecs", "encode"): _encode,  # how protocol 2 writes bytes
        ("builtins", "bytes"): _no_bytes,
        ("__builtin__", "bytes"): _no_bytes,
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        known = self._known.get((module_name, global_name))
        if known is None:
            raise pickle.UnpicklingError(f"the name {module_name}.{global_name}")
        return known

    def persistent_load(self, pid: Any, /) -> Any:
        raise pickle.UnpicklingError("a persistent reference")


def read_batch(content: bytes, source: Path) -> tuple[NDArray[np.uint8], list[int]]:
    """Images ``(N, 32, 32, 3)`` uint8 and ``N`` class numbers of one pickled batch.

    ``source`` is where its bytes came from, for messages.

    Raises:
        DataError: The pickle is damaged, names anything a CIFAR batch does not need (nothing of
            it is run), or does not hold ``data`` and ``labels``.
    """
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged or hostile pickle can raise nearly anything
        raise DataError(
            f"{source} is damaged or not a CIFAR-10 batch: found {error}. Nothing in it was run. "
            "Download CIFAR-10 (python version) again."
        ) from error
    if not isinstance(batch, dict):
        batch = {}
    data = batch.get(b"data", batch.get("data"))
    labels = batch.get(b"labels", batch.get("labels"))
    pixels = getattr(data, "pixels", None) if isinstance(data, _Array) else None
    if (
        pixels is None
        or pixels.ndim != 2
        or pixels.shape[1] != 3072
        or not isinstance(labels, list)
        or not all(type(label) is int for label in labels)
    ):
        raise DataError(
            f"{source} is not a CIFAR-10 batch: expected data (N, 3072) uint8 and a list of "
            "labels. CIFAR-100 and the binary version are not read; download the python version."
        )
    planes = pixels.reshape(-1, 3, 32, 32)  # (N, C, H, W)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels  # (N, H, W, C)


def _find_cifar(root: Path) -> Path | None:
    """The folder of batches or the archive, whichever is there."""
    if root.is_file():
        archive = root.name.endswith((".tar.gz", ".tgz")) and "cifar-10-" in root.name
        return root if archive else None
    for folder in (root, root / _CIFAR_FOLDER):
        if (folder / "data_batch_1").is_file() or (folder / "test_batch").is_file():
            return folder
    return root / ARCHIVE_NAME if (root / ARCHIVE_NAME).is_file() else None


def _read_cifar(root: Path) -> Reading:
    source = root if root.is_file() else _find_cifar(root)
    if source is None:
        raise DataError(
            f"Found neither {_CIFAR_FOLDER}/ nor {ARCHIVE_NAME} in {root}; found "
            f"{found_in(root)}. Name the folder that holds one of them."
        )
    contents = _archived_batches(source) if source.is_file() else {}
    samples: list[Sample] = []
    for name, split in _BATCHES:
        path = source / name
        try:
            content = contents[name] if contents else _start_of(path)
        except OSError as error:
            raise DataError(
                f"Cannot read {path}: {error}. Expected data_batch_1 to 5 and test_batch; unpack "
                f"{ARCHIVE_NAME} again."
            ) from error
        samples += class_samples(*read_batch(content, path), "cifar10", split, path)
    return _by_class(samples, "cifar10"), []


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST_BATCH)


def _archived_batches(archive: Path) -> dict[str, bytes]:
    md5 = hashlib.md5(usedforsecurity=False)
    try:
        with archive.open("rb") as file:
            while block := file.read(2**20):
                md5.update(block)
    except OSError as error:
        raise DataError(f"Cannot read {archive}: {error}. Check its permissions.") from error
    if md5.hexdigest() != ARCHIVE_MD5:
        raise DataError(
            f"{archive} is damaged or another archive: its md5 is {md5.hexdigest()}, expected "
            f"{ARCHIVE_MD5}. Download CIFAR-10 (python version) again."
        )
    contents: dict[str, bytes] = {}
    wanted = {f"{_CIFAR_FOLDER}/{name}": name for name, _ in _BATCHES}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = wanted.get(member.name.removeprefix("./"))
                # Members are read in memory; no path in the archive is ever written to.
                if name is not None and member.isreg() and member.size <= _LARGEST_BATCH:
                    extracted = tar.extractfile(member)
                    contents[name] = extracted.read() if extracted else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"Cannot read {archive}: {error}. Download it again.") from error
    missing = [name for name, _ in _BATCHES if name not in contents]
    if missing:
        raise DataError(
            f"{archive} does not hold {', '.join(missing)} in {_CIFAR_FOLDER}/. Download CIFAR-10 "
            "(python version) again."
        )
    return contents


MNIST = Layout(
    "mnist",
    "the four IDX files train-images-idx3-ubyte[.gz] …",
    partial(_recognise_idx, "mnist"),
    partial(_read_idx_files, "mnist"),
)
FASHION_MNIST = Layout(
    "fashion_mnist",
    "the four IDX files of Fashion-MNIST",
    partial(_recognise_idx, "fashion_mnist"),
    partial(_read_idx_files, "fashion_mnist"),
)
CIFAR10 = Layout(
    "cifar10",
    f"{_CIFAR_FOLDER}/ or {ARCHIVE_NAME}",
    lambda root: _find_cifar(root) is not None,
    _read_cifar,
)
