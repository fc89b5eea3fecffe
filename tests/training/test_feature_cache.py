from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from blemish._progress import Progress
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.data.sources import load_input
from blemish.teachers.teacher import Teacher, build_teacher
from blemish.training.feature_cache import FeatureCache, build_feature_cache, cache_bytes

PREPARE = Preprocessing(64, 64)


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return build_teacher()


def build(
    teacher: Teacher,
    samples: list[Sample],
    folder: Path,
    failures: list[tuple[Path, str]] | None = None,
    preprocessing: Preprocessing = PREPARE,
) -> FeatureCache:
    return build_feature_cache(
        teacher,
        samples,
        preprocessing,
        folder,
        progress=Progress(quiet=True),
        failures=[] if failures is None else failures,
        batch_size=3,
    )


def _forbid(teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Teacher, images: torch.Tensor) -> list[torch.Tensor]:
        raise AssertionError("the teacher ran although its features are cached")

    monkeypatch.setattr(Teacher, "forward", refuse)


def test_rows_are_the_teachers_features(
    teacher: Teacher, pictures: list[Sample], tmp_path: Path
) -> None:
    cache = build(teacher, pictures, tmp_path / "cache")
    assert len(cache) == 8
    for level in cache[[0, 1]]:
        assert level.is_contiguous(memory_format=torch.channels_last)
        assert level.dtype == torch.float32
    rows = [6, 0, 6]
    images = np.stack([load_input(pictures[row], PREPARE)[0] for row in rows])
    expected = teacher(torch.from_numpy(images).permute(0, 3, 1, 2))
    for level, wanted in zip(cache[rows], expected, strict=True):
        assert torch.allclose(level, wanted, rtol=2e-3, atol=2e-3)


def test_its_size_on_disk_is_the_one_foretold(
    teacher: Teacher, pictures: list[Sample], tmp_path: Path
) -> None:
    build(teacher, pictures, tmp_path / "cache")
    written = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.f16"))
    assert written == cache_bytes(teacher, (64, 64), 8)


def test_it_is_computed_once(
    teacher: Teacher, pictures: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures[1].path.write_text("no image")
    first_failures: list[tuple[Path, str]] = []
    first = build(teacher, pictures, tmp_path / "cache", first_failures)
    _forbid(teacher, monkeypatch)
    failures: list[tuple[Path, str]] = []
    again = build(teacher, pictures, tmp_path / "cache", failures)
    assert again.kept == first.kept == [0, 2, 3, 4, 5, 6, 7]
    assert failures == first_failures
    assert failures[0][0] == pictures[1].path
    assert all(torch.equal(a, b) for a, b in zip(first[[0, 6]], again[[0, 6]], strict=True))


def test_rows_skip_what_could_not_be_read(
    teacher: Teacher, pictures: list[Sample], tmp_path: Path
) -> None:
    whole = build(teacher, pictures, tmp_path / "whole")
    for broken in (0, 3, 7):
        pictures[broken].path.write_text("no image")
    cache = build(teacher, pictures, tmp_path / "part")
    assert cache.kept == [1, 2, 4, 5, 6]
    for row, position in enumerate(cache.kept):
        for level, wanted in zip(cache[[row]], whole[[position]], strict=True):
            assert torch.allclose(level, wanted, rtol=1e-2, atol=1e-2)


def test_another_picture_teacher_or_size_is_another_cache(
    teacher: Teacher, pictures: list[Sample], tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    build(teacher, pictures, folder)
    build(teacher, pictures[:7], folder)
    build(build_teacher(weights="random"), pictures, folder)
    build(teacher, pictures, folder, preprocessing=Preprocessing(32, 64))
    Image.new("RGB", (64, 64), "red").save(pictures[0].path)
    os.utime(pictures[0].path, (7, 7))
    changed = build(teacher, pictures, folder)
    assert len(list(folder.iterdir())) == 5
    red = teacher(torch.tensor([255, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 64, 64))
    assert torch.allclose(changed[[0]][0], red[0], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_a_half_written_cache_is_never_taken(
    stop: type[BaseException],
    teacher: Teacher,
    pictures: list[Sample],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forward, calls = Teacher.forward, []

    def interrupted(self: Teacher, images: torch.Tensor) -> list[torch.Tensor]:
        calls.append(1)
        if len(calls) == 2:
            raise stop
        return forward(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(Teacher, "forward", interrupted)
        with pytest.raises(stop):
            build(teacher, pictures, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    rebuilt = build(teacher, pictures, tmp_path / "cache")
    whole = build(teacher, pictures, tmp_path / "other")
    rows = list(range(8))
    assert all(torch.equal(a, b) for a, b in zip(rebuilt[rows], whole[rows], strict=True))


def test_a_cache_that_lost_a_part_is_built_again(
    teacher: Teacher, pictures: list[Sample], tmp_path: Path
) -> None:
    whole = build(teacher, pictures, tmp_path / "whole")[list(range(8))]
    for name, content in (("complete.json", None), ("level1.f16", b"short"), ("level2.f16", None)):
        build(teacher, pictures, tmp_path / "cache")
        (part,) = (tmp_path / "cache").glob(f"*/{name}")
        if content is None:
            part.unlink()
        else:
            part.write_bytes(content)
        again = build(teacher, pictures, tmp_path / "cache")[list(range(8))]
        assert all(torch.equal(a, b) for a, b in zip(again, whole, strict=True))


def test_two_processes_may_build_the_same_cache(
    teacher: Teacher, pictures: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one begins after us and finishes before us."""
    forward, calls = Teacher.forward, []

    def meanwhile(self: Teacher, images: torch.Tensor) -> list[torch.Tensor]:
        calls.append(1)
        if len(calls) == 2:
            build(teacher, pictures, tmp_path / "cache")
        return forward(self, images)

    monkeypatch.setattr(Teacher, "forward", meanwhile)
    ours = build(teacher, pictures, tmp_path / "cache")
    monkeypatch.setattr(Teacher, "forward", forward)
    (home,) = (tmp_path / "cache").iterdir()
    assert json.loads((home / "complete.json").read_text())["kept"] == list(range(8))
    alone = build(teacher, pictures, tmp_path / "alone")
    rows = list(range(8))
    assert all(torch.equal(a, b) for a, b in zip(ours[rows], alone[rows], strict=True))


def test_what_another_process_has_finished_is_never_removed(
    teacher: Teacher, pictures: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finishes when we have just seen that it has not, and reads what it has made."""
    cache, exists, theirs = tmp_path / "cache", Path.is_file, list[int]()

    def meanwhile(path: Path) -> bool:
        found = exists(path)
        if path.name == "complete.json" and not theirs:
            theirs.append(0)
            build(teacher, pictures, cache)
            theirs[0] = next(cache.iterdir()).stat().st_ino
        return found

    monkeypatch.setattr(Path, "is_file", meanwhile)
    build(teacher, pictures, cache)
    assert [home.stat().st_ino for home in cache.iterdir()] == theirs
