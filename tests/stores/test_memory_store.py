"""Reading, writing and copying by fsspec, in a store inside the memory of this process."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish import open_model
from blemish._files import atomic_write, writable_target
from blemish._progress import Progress
from blemish.data.images.image_list import list_images
from blemish.data.images.reading import image_size, read_image
from blemish.data.sources import images_to_judge, training_data
from blemish.errors import BundleError, ConfigError, DataError, ImageError, StoreError
from blemish.outputs.csv_jsonl import CsvSink
from blemish.stores.local_copy import local_copy

fsspec = pytest.importorskip("fsspec", reason="fsspec, of blemish[s3], is absent")

QUIET = Progress(quiet=True)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The store, with two pictures and what is none, below ``memory://line``."""
    monkeypatch.setenv("BLEMISH_CACHE", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    for number in (2, 10):
        system.pipe_file(f"/line/good/{number}.png", png(number))
    for name in ("good/.hidden.png", "good/notes.txt", ".trash/1.png"):
        system.pipe_file(f"/line/{name}", b"x")
    yield system
    system.rm("/", recursive=True)


def png(value: int, size: tuple[int, int] = (6, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def test_pictures_are_listed_and_read(store: Any) -> None:
    good = Path("memory://line/good")
    assert list_images("memory://line") == [good / "2.png", good / "10.png"]
    assert list_images("memory://line", recursive=False) == []
    assert image_size("memory://line/good/2.png") == (4, 6)
    assert read_image(good / "10.png")[0, 0].tolist() == [10, 0, 0]
    assert [s.path.name for s in images_to_judge("memory://line")] == ["2.png", "10.png"]
    assert [s.path for s in images_to_judge(good / "2.png")] == [good / "2.png"]


def test_what_is_not_there_is_said_by_its_url(store: Any) -> None:
    with pytest.raises(ImageError, match=r"memory://line/no\.png: there is no such file"):
        read_image("memory://line/no.png")
    for call in (images_to_judge, training_data, local_copy):
        with pytest.raises(DataError, match="nothing at memory://nowhere"):
            call("memory://nowhere")  # type: ignore[operator]
    with pytest.raises(BundleError, match=r"memory://m\.blemish does not exist"):
        open_model("memory://m.blemish")
    with pytest.raises(ConfigError, match="Protocol not known: nosuch"):
        read_image("nosuch://line/1.png")


def test_a_store_that_does_not_answer_is_no_unreadable_picture(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, path: str, **kwargs: Any) -> bytes:
        raise PermissionError("token expired")

    monkeypatch.setattr(type(store), "cat_file", refuse)
    with pytest.raises(StoreError, match="token expired"):
        read_image("memory://line/good/2.png")


def test_a_file_is_written_whole_or_not_at_all(store: Any) -> None:
    with suppress(KeyboardInterrupt), atomic_write("memory://out/m.bin") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert not store.exists("/out/m.bin")
    with atomic_write("memory://out/m.bin") as file:
        file.write(b"whole")
    assert store.cat_file("/out/m.bin") == b"whole"
    assert writable_target("memory://out/m.bin") == Path("memory://out/m.bin")


def test_a_data_set_is_copied_once_and_follows_the_store(store: Any, tmp_path: Path) -> None:
    copy = local_copy("memory://line", progress=QUIET)
    assert copy.name == "line"  # by which a product may be called
    assert copy.is_relative_to(tmp_path / "cache")
    first = (copy / "good" / "2.png").stat().st_mtime_ns
    store.pipe_file("/line/good/10.png", png(11))
    store.pipe_file("/line/good/3.png", png(3))
    store.rm("/line/good/notes.txt")
    assert local_copy("memory://line", progress=QUIET) == copy
    assert (copy / "good" / "2.png").stat().st_mtime_ns == first
    assert (copy / "good" / "10.png").read_bytes() == png(11)
    assert (copy / "good" / "3.png").is_file()
    assert not (copy / "good" / "notes.txt").exists()
    assert local_copy(tmp_path) == tmp_path
    data_set = training_data("memory://line")
    assert [s.path.parent.parent for s in data_set.samples] == [copy] * 3


def test_a_copy_that_does_not_fit_is_not_begun(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(DataError, match="BLEMISH_CACHE"):
        local_copy("memory://line", progress=QUIET)


def test_lines_do_not_go_into_an_object_store(store: Any) -> None:
    with pytest.raises(ConfigError, match="takes whole files"), CsvSink("memory://out/v.csv"):
        pass


def test_names_that_no_path_can_carry_are_refused(store: Any) -> None:
    store.pipe_file("/line//odd.png", b"x")
    if not any("//" in name for name in store.find("/line")):
        pytest.skip("this fsspec normalises the name itself")
    with pytest.raises(StoreError, match="empty part"):
        list_images("memory://line")


def test_predictions_of_remote_pictures_name_the_url(store: Any, exported_file: Path) -> None:
    store.pipe_file("/models/m.blemish", exported_file.read_bytes())
    remote = open_model("memory://models/m.blemish")
    store.pipe_file("/line/wide.png", png(7, (64, 48)))
    [one] = remote.predict("memory://line/wide.png")
    assert one.to_dict()["path"] == "memory://line/wide.png"
    here = open_model(exported_file).inspect(read_image("memory://line/wide.png"))
    assert one.score == here.score
    assert np.array_equal(one.anomaly_map, here.anomaly_map)
