"""Feature cache: the frozen teacher's features of the training inputs, computed once, kept on disk.

They never change during training. They are stored as float16 in memory-mapped files, channels last,
which is also the order in which convolutions train fastest on a CPU. A picture that is cut into
tiles gives a row for each of those that train.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish._files import atomic_write, one_at_a_time
from blemish._progress import Progress
from blemish.data.images.preprocess import Preprocessing
from blemish.data.prefetch import prefetched
from blemish.data.sample import Sample
from blemish.data.sources import learnable_input
from blemish.errors import ImageError
from blemish.teachers.teacher import Teacher
from blemish.training.tile_sample import TileSample

#: Written last: a folder without it is no cache.
_RECORD = "complete.json"


class FeatureCache:
    """Features of a list of inputs: an array ``(N, H_l, W_l, C_l)`` float16 per level, mapped.

    ``kept`` are the positions of the inputs that could be read.
    """

    def __init__(self, levels: Sequence[np.ndarray], kept: list[int]) -> None:
        self.levels, self.kept = levels, kept

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, rows: Sequence[int]) -> tuple[Tensor, ...]:
        """Levels ``(n, C_l, H_l, W_l)`` float32, channels last in memory, of the given rows."""
        return tuple(level.float() for level in self.stored(rows))

    def stored(self, rows: Sequence[int]) -> tuple[Tensor, ...]:
        """The same as they are kept, float16."""
        index = np.asarray(rows)
        return tuple(torch.from_numpy(level[index]).permute(0, 3, 1, 2) for level in self.levels)


def cache_bytes(teacher: Teacher, size: tuple[int, int], count: int) -> int:
    """Bytes the cache of ``count`` images of input size ``(H, W)`` takes on disk."""
    values = sum(
        channels * (size[0] // stride) * (size[1] // stride)
        for channels, stride in zip(teacher.channels, teacher.strides, strict=True)
    )
    return 2 * values * count


def build_feature_cache(
    teacher: Teacher,
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    folder: Path,
    *,
    progress: Progress,
    failures: list[tuple[Path, str]],
    batch_size: int | None = None,
    tiles: TileSample | None = None,
    workers: int = 0,
) -> FeatureCache:
    """Compute the features of all samples, or open them where they were computed before.

    Of samples that are cut into tiles ``tiles`` are taken; ``None``: each sample is one input.

    Each cache is a sub-folder of ``folder``, named by its fingerprint. It is built under another
    name and renamed when it is complete: an interrupted build leaves nothing that could be taken
    for a cache. Of several processes one builds, and the others wait for it where the file system
    has locks; where it has none, all build the same. ``failures`` receives the path and reason of
    each image that cannot be read.

    Computed on the teacher's device, ``batch_size`` inputs at a time: ``None`` for 2 on the CPU,
    where more take longer, and two million pixels elsewhere. ``workers`` threads decode ahead.
    """
    device = next((p.device for p in teacher.parameters()), torch.device("cpu"))
    if batch_size is None:
        size = preprocessing.height * preprocessing.width
        batch_size = 2 if device.type == "cpu" else max(2, 2**21 // size)
    tiles = tiles or TileSample(((0,),) * len(samples), whole=True)
    home = folder / _fingerprint(teacher, samples, preprocessing, tiles)
    shapes = _shapes(teacher, preprocessing)

    def open_level(where: Path, level: int, mode: Literal["r", "w+"]) -> np.memmap:
        channels, height, width = shapes[level]
        shape = (len(tiles), height, width, channels)
        return np.memmap(where / f"level{level}.f16", np.float16, mode, shape=shape)

    def compute(building: Path) -> None:
        levels = [open_level(building, level, "w+") for level in range(len(shapes))]
        kept: list[int] = []
        failed: list[tuple[str, str]] = []
        read = readable_batches(samples, preprocessing, tiles, batch_size, failed, workers=workers)
        with progress.task("Features", len(tiles)) as task:
            for positions, images in read:
                with torch.inference_mode():
                    features = teacher(images.to(device))
                rows = slice(len(kept), len(kept) + len(positions))
                for array, feature in zip(levels, features, strict=True):
                    array[rows] = feature.permute(0, 2, 3, 1).half().cpu().numpy()
                kept += positions
                task.advance(len(positions))
        for array in levels:
            array.flush()
        with atomic_write(building / _RECORD) as file:
            file.write(json.dumps({"kept": kept, "failures": failed}).encode())

    def is_complete() -> bool:
        return _is_complete(home, shapes, len(tiles))

    def build() -> None:
        if is_complete():  # by now
            return
        building = Path(tempfile.mkdtemp(prefix=f"{home.name}.", suffix=".part", dir=folder))
        damaged = building.with_name(f"{building.name}.damaged")
        try:
            compute(building)
            with contextlib.suppress(OSError):
                building.rename(home)
            # Another process may have been faster, with the same result, which it reads by now:
            # nothing complete is ever removed. What is damaged makes way.
            if building.is_dir() and not is_complete():
                with contextlib.suppress(OSError):
                    home.rename(damaged)
                    building.rename(home)
        finally:
            shutil.rmtree(building, ignore_errors=True)
            shutil.rmtree(damaged, ignore_errors=True)

    if not is_complete():
        folder.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(folder):
            build()
    complete = json.loads((home / _RECORD).read_text())
    failures += [(Path(path), reason) for path, reason in complete["failures"]]
    levels = [open_level(home, level, "r") for level in range(len(shapes))]
    return FeatureCache(levels, complete["kept"])


def is_cached(
    teacher: Teacher,
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    folder: Path,
    tiles: TileSample,
) -> bool:
    """Whether :func:`build_feature_cache` would find the features of all samples computed."""
    home = folder / _fingerprint(teacher, samples, preprocessing, tiles)
    return _is_complete(home, _shapes(teacher, preprocessing), len(tiles))


def _shapes(teacher: Teacher, preprocessing: Preprocessing) -> list[tuple[int, int, int]]:
    """``(C, H, W)`` of each level."""
    return [
        (channels, preprocessing.height // stride, preprocessing.width // stride)
        for channels, stride in zip(teacher.channels, teacher.strides, strict=True)
    ]


def _is_complete(home: Path, shapes: Sequence[tuple[int, int, int]], inputs: int) -> bool:
    sizes = [2 * inputs * math.prod(shape) for shape in shapes]
    files = [home / f"level{level}.f16" for level in range(len(shapes))]
    return (home / _RECORD).is_file() and all(
        file.is_file() and file.stat().st_size == size
        for file, size in zip(files, sizes, strict=True)
    )


def readable_batches(
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    tiles: TileSample,
    batch_size: int,
    failed: list[tuple[str, str]],
    *,
    workers: int = 0,
) -> Iterator[tuple[list[int], Tensor]]:
    """Positions among all inputs, and the inputs ``(n, 3, H, W)``, of the samples that are read.

    ``workers`` threads decode, one picture more than there are of them.
    """

    def read(sample: Sample) -> NDArray[np.uint8] | ImageError:
        try:
            return learnable_input(sample, preprocessing).pixels
        except ImageError as error:
            return error

    decoded = prefetched(read, samples, threads=workers, depth=workers + 1)
    positions: list[int] = []
    images: list[np.ndarray] = []
    first = 0
    for sample, places, pixels in zip(samples, tiles.places, decoded, strict=True):
        own = range(first, first + len(places))
        first += len(places)
        if isinstance(pixels, ImageError):
            failed.append((str(sample.path), str(pixels)))
            continue
        grid = preprocessing.grid((pixels.shape[0], pixels.shape[1]))
        for position, place in zip(own, places, strict=True):
            images.append(grid.cut(pixels, place))
            positions.append(position)
            if len(images) == batch_size:
                yield positions, torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
                positions, images = [], []
    if images:
        yield positions, torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _fingerprint(
    teacher: Teacher, samples: Sequence[Sample], preprocessing: Preprocessing, tiles: TileSample
) -> str:
    """Identity of a cache: teacher, preprocessing, tiles and the files as they are now."""
    digest = hashlib.sha256()
    digest.update(json.dumps([teacher.name, teacher.digest, preprocessing.to_json()]).encode())
    if preprocessing.tiling is not None:
        digest.update(json.dumps(tiles.places).encode())
    for sample in samples:
        digest.update(sample_identity(sample).encode())
    return digest.hexdigest()[:24]


def sample_identity(sample: Sample) -> str:
    """Text that changes when the image does: path, size and time, or the pixels themselves."""
    if sample.image is not None:
        return f"{sample.path}|{hashlib.sha256(sample.image.tobytes()).hexdigest()}"
    try:
        status = sample.path.stat()
    except OSError:
        return f"{sample.path}|missing"
    return f"{sample.path}|{status.st_size}|{status.st_mtime_ns}"
