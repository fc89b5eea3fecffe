"""CIFAR-10 (Krizhevsky, 2009), python version: the archive or its unpacked folder.

::

    cifar-10-python.tar.gz                                (md5 checked, read without unpacking)
    cifar-10-batches-py/data_batch_1 … data_batch_5, test_batch

As for MNIST, each class is a *product*, every sample has label 0, and the one-class protocol
relabels.

The batches are pickles. A pickle is a program: it is read here by an unpickler that knows four
names, none of which does more than hold the bytes of an array.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.data.layouts.base import Layout, Reading, found_in
from blemish.data.layouts.idx import class_samples, joined
from blemish.data.sample import Split
from blemish.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer",
           "dog", "frog", "horse", "ship", "truck")  # fmt: skip
ARCHIVE_NAME = "cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"

_FOLDER = "cifar-10-batches-py"
_BATCHES: tuple[tuple[str, Split], ...] = (
    *((f"data_batch_{i}", "train") for i in range(1, 6)),
    ("test_batch", "test"),
)
_LARGEST = 64 * 2**20  # bytes; a batch has 31 million


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
    """Images and class numbers of one batch.

    Args:
        content: The pickle's bytes.
        source: Where they came from, for messages.

    Returns:
        ``(N, 32, 32, 3)`` uint8 and ``N`` class numbers.

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


def _locate(root: Path) -> Path | None:
    """The folder of batches or the archive, whichever is there."""
    if root.is_file():
        return (
            root if root.name.endswith((".tar.gz", ".tgz")) and "cifar-10-" in root.name else None
        )
    for folder in (root, root / _FOLDER):
        if (folder / "data_batch_1").is_file() or (folder / "test_batch").is_file():
            return folder
    archive = root / ARCHIVE_NAME
    return archive if archive.is_file() else None


def _read(root: Path) -> Reading:
    source = root if root.is_file() else _locate(root)
    if source is None:
        raise DataError(
            f"Found neither {_FOLDER}/ nor {ARCHIVE_NAME} in {root}; found {found_in(root)}. "
            "Name the folder that holds one of them."
        )
    contents = _from_archive(source) if source.is_file() else _from_folder(source)
    parts = []
    for name, split in _BATCHES:
        path = source / name
        images, labels = read_batch(contents[name], path)
        parts.append(class_samples(images, labels, CLASSES, split, path))
    return joined(parts), []


def _from_folder(folder: Path) -> dict[str, bytes]:
    contents = {}
    for name, _ in _BATCHES:
        path = folder / name
        try:
            with path.open("rb") as file:
                contents[name] = file.read(_LARGEST)
        except OSError as error:
            raise DataError(
                f"Cannot read {path}: {error}. Expected data_batch_1 to 5 and test_batch; unpack "
                f"{ARCHIVE_NAME} again."
            ) from error
    return contents


def _from_archive(archive: Path) -> dict[str, bytes]:
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
    wanted = {f"{_FOLDER}/{name}": name for name, _ in _BATCHES}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = wanted.get(member.name.removeprefix("./"))
                # Members are read in memory; no path in the archive is ever written to.
                if name is not None and member.isreg() and member.size <= _LARGEST:
                    extracted = tar.extractfile(member)
                    contents[name] = extracted.read() if extracted else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"Cannot read {archive}: {error}. Download it again.") from error
    missing = [name for name, _ in _BATCHES if name not in contents]
    if missing:
        raise DataError(
            f"{archive} does not hold {', '.join(missing)} in {_FOLDER}/. Download CIFAR-10 "
            "(python version) again."
        )
    return contents


LAYOUT = Layout(
    "cifar10",
    f"{_FOLDER}/ or {ARCHIVE_NAME}",
    lambda root: _locate(root) is not None,
    _read,
)
