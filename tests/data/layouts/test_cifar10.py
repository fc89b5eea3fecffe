from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blemish.data.layouts import arrays, read_data_set
from blemish.data.layouts.arrays import CLASSES, read_batch
from blemish.errors import DataError

BATCHES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]


def _batch(seed: int) -> dict[bytes, Any]:
    data = np.random.default_rng(seed).integers(0, 256, (10, 3072), dtype=np.uint8)
    return {b"batch_label": b"x", b"labels": list(range(10)), b"data": data, b"filenames": [b"a"]}


def _python2_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 wrote it: byte strings without a wrapper, numpy.core names."""

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little")

    dtype = b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1 & 0x7FFFFFFF) * 2
    dtype += number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85"
    array += text(b"b") + b"\x87R("
    array += number(1) + number(data.shape[0]) + number(data.shape[1]) + b"\x86"
    array += dtype + b"\x89" + text(data.tobytes()) + b"tb"
    numbers = b"](" + b"".join(number(n) for n in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + b"u."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    for i, name in enumerate(BATCHES):
        (root / name).write_bytes(pickle.dumps(_batch(i), protocol=2))
    return root


def _archive(folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(arrays, "ARCHIVE_MD5", digest)
    return path


@pytest.mark.parametrize("inner", [True, False])
def test_folder(folder: Path, inner: bool) -> None:
    data_set = read_data_set(folder if inner else folder.parent)
    assert (data_set.layout, data_set.products) == ("cifar10", CLASSES["cifar10"])
    assert (len(data_set.split("train").samples), len(data_set.split("test").samples)) == (50, 10)
    frog = data_set.of_products(["frog"]).samples[1]
    assert frog.path == folder / "data_batch_2#6"
    assert (frog.label, frog.split) == (0, "train")
    expected = _batch(1)[b"data"][6].reshape(3, 32, 32).transpose(1, 2, 0)
    np.testing.assert_array_equal(frog.image, expected)


@pytest.mark.parametrize("direct", [True, False])
def test_archive(folder: Path, monkeypatch: pytest.MonkeyPatch, direct: bool) -> None:
    root = folder.parent / "download"
    root.mkdir()
    path = _archive(folder, root / "cifar-10-python.tar.gz", monkeypatch)
    data_set = read_data_set(path if direct else root)
    plain = read_data_set(folder)
    assert data_set.layout == "cifar10"
    for ours, theirs in zip(data_set.samples, plain.samples, strict=True):
        np.testing.assert_array_equal(ours.image, theirs.image)
    assert data_set.samples[0].path == path / "data_batch_1#0"
    assert sorted(p.name for p in root.iterdir()) == ["cifar-10-python.tar.gz"]  # nothing unpacked


def test_archive_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder.parent / "cifar-10-python.tar.gz"
    _archive(folder, path, monkeypatch)
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    with pytest.raises(DataError, match=r"its md5 is [0-9a-f]{32}, expected"):
        read_data_set(path)
    for data in (whole[:-50], whole[: len(whole) // 2], b"no archive"):
        path.write_bytes(data)
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        monkeypatch.setattr(arrays, "ARCHIVE_MD5", digest)
        with pytest.raises(DataError, match=r"Cannot read|does not hold"):
            read_data_set(path)


def test_archive_members_outside_the_folder_are_ignored(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder.parent / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
        for name in ("../../escaped", "/tmp/escaped"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"bad"))
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(arrays, "ARCHIVE_MD5", digest)
    assert len(read_data_set(path).samples) == 60
    assert not (folder.parents[2] / "escaped").exists()


def test_missing_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "data_batch_4").unlink()
    with pytest.raises(DataError, match="data_batch_4"):
        read_data_set(folder)
    path = _archive(folder, folder.parent / "cifar-10-python.tar.gz", monkeypatch)
    with pytest.raises(DataError, match="does not hold data_batch_4"):
        read_data_set(path)


def test_python2_batches() -> None:
    data = np.arange(2 * 3072).astype(np.uint8).reshape(2, 3072)
    content = _python2_pickle(data, [3, 7])
    reference = pickle.loads(content, encoding="bytes")  # the test's own bytes
    np.testing.assert_array_equal(reference[b"data"], data)
    images, labels = read_batch(content, Path("b"))
    assert labels == [3, 7]
    np.testing.assert_array_equal(images, data.reshape(2, 3, 32, 32).transpose(0, 2, 3, 1))


class _Evil:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def _touch(path: str) -> None:
    Path(path).touch()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_malicious_pickle_runs_nothing(folder: Path, protocol: int) -> None:
    import os

    witness = folder.parent / "witness"
    calls = [
        _Evil(os.system, f"touch {witness}"),
        _Evil(_touch, str(witness)),
        _Evil(eval, f"open({str(witness)!r}, 'w')"),
        _Evil(open, str(witness), "w"),
        _Evil(getattr, os, "system"),
    ]
    for call in calls:
        batch = {**_batch(0), b"extra": call}
        try:
            content = pickle.dumps(batch, protocol=protocol)
        except (TypeError, pickle.PicklingError):  # a module cannot be pickled
            content = b"cos\nsystem\n(S'touch " + str(witness).encode() + b"'\ntR."
        (folder / "data_batch_1").write_bytes(content)
        with pytest.raises(DataError, match="Nothing in it was run"):
            read_data_set(folder)
        assert not witness.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        pickle.dumps(_batch(0), protocol=2)[:-200],
        pickle.dumps([1, 2]),
        pickle.dumps({b"labels": [1]}),
        pickle.dumps({**_batch(0), b"data": np.zeros((10, 3072))}, protocol=2),
        pickle.dumps({**_batch(0), b"data": np.zeros((10, 3072), object)}, protocol=2),
        pickle.dumps({**_batch(0), b"data": np.zeros((10, 100), np.uint8)}, protocol=2),
        pickle.dumps({**_batch(0), b"labels": ["a"]}, protocol=2),
        b"cnumpy\nndarray\n)R.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R}b.",
        b"(" * 50_000,
    ],
)
def test_damaged_batches(content: bytes) -> None:
    with pytest.raises(DataError, match="b1"):
        read_batch(content, Path("b1"))
