"""Training batches: the teacher's features, computed once and kept on disk, or images from files.

The teacher is frozen and the systems of the reverse-distillation family use no image augmentation,
so its features never change during training. They are stored as float16 in memory-mapped files,
channels last, which is also the order in which convolutions train fastest on a CPU.
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
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from blemish._files import atomic_write
from blemish._progress import Progress
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample, draw_parts
from blemish.data.sources import load_input
from blemish.errors import ImageError
from blemish.methods.base import Batch, Method, Stage
from blemish.teachers.teacher import Teacher

#: Written last: a folder without it is no cache.
_RECORD = "complete.json"


class FeatureCache:
    """Features of a list of samples: an array ``(N, H_l, W_l, C_l)`` float16 per level, mapped.

    ``kept`` are the positions of the samples that could be read.
    """

    def __init__(self, levels: Sequence[np.ndarray], kept: list[int]) -> None:
        self.levels, self.kept = levels, kept

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, rows: Sequence[int]) -> tuple[Tensor, ...]:
        """Levels ``(n, C_l, H_l, W_l)`` float32, channels last in memory, of the given rows."""
        index = np.asarray(rows)
        return tuple(
            torch.from_numpy(level[index].astype(np.float32)).permute(0, 3, 1, 2)
            for level in self.levels
        )


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
    device: str = "cpu",
    batch_size: int = 2,
) -> FeatureCache:
    """Compute the features of all samples, or open them where they were computed before.

    Each cache is a sub-folder of ``folder``, named by its fingerprint. It is built under another
    name and renamed when it is complete: an interrupted build leaves nothing that could be taken
    for a cache, and two processes may build the same one. ``failures`` receives the path and
    reason of each image that cannot be read.
    """
    home = folder / _fingerprint(teacher, samples, preprocessing)
    shapes = [
        (channels, preprocessing.height // stride, preprocessing.width // stride)
        for channels, stride in zip(teacher.channels, teacher.strides, strict=True)
    ]

    def open_level(where: Path, level: int, mode: Literal["r", "w+"]) -> np.memmap:
        channels, height, width = shapes[level]
        shape = (len(samples), height, width, channels)
        return np.memmap(where / f"level{level}.f16", np.float16, mode, shape=shape)

    def compute(building: Path) -> None:
        levels = [open_level(building, level, "w+") for level in range(len(shapes))]
        kept: list[int] = []
        failed: list[tuple[str, str]] = []
        with progress.task("Features", len(samples)) as task:
            for positions, images in _readable_batches(samples, preprocessing, batch_size, failed):
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
        sizes = [2 * len(samples) * math.prod(shape) for shape in shapes]
        files = [home / f"level{level}.f16" for level in range(len(shapes))]
        return (home / _RECORD).is_file() and all(
            file.is_file() and file.stat().st_size == size
            for file, size in zip(files, sizes, strict=True)
        )

    if not is_complete():
        shutil.rmtree(home, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f"{home.name}.", suffix=".part", dir=folder))
        try:
            compute(building)
            # Another process may have been faster, with the same result.
            with contextlib.suppress(OSError):
                building.rename(home)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    complete = json.loads((home / _RECORD).read_text())
    failures += [(Path(path), reason) for path, reason in complete["failures"]]
    levels = [open_level(home, level, "r") for level in range(len(shapes))]
    return FeatureCache(levels, complete["kept"])


def _readable_batches(
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    batch_size: int,
    failed: list[tuple[str, str]],
) -> Iterator[tuple[list[int], Tensor]]:
    positions: list[int] = []
    images: list[np.ndarray] = []
    for position, sample in enumerate(samples):
        try:
            images.append(load_input(sample, preprocessing)[0])
            positions.append(position)
        except ImageError as error:
            failed.append((str(sample.path), str(error)))
        if len(images) == batch_size:
            yield positions, torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
            positions, images = [], []
    if images:
        yield positions, torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _fingerprint(teacher: Teacher, samples: Sequence[Sample], preprocessing: Preprocessing) -> str:
    """Identity of a cache: teacher, preprocessing and the files as they are now."""
    digest = hashlib.sha256()
    digest.update(json.dumps([teacher.name, teacher.digest, preprocessing.to_json()]).encode())
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


class StepBatches(Sampler[list[int]]):
    """The rows of every step: shuffled passes over the data, cut into batches.

    The batches follow from the seed and the rows alone; those before ``first``, the first step
    still to be done, are left out on resuming. ``seed`` is that of the training and the position
    of the stage; ``anomalies`` are those of the rows that are labelled anomalies.
    """

    def __init__(
        self,
        rows: Sequence[int],
        stage: Stage,
        seed: tuple[int, int],
        first: int,
        *,
        anomalies: Sequence[int] = (),
    ) -> None:
        self.stage, self.seed, self.first = stage, seed, first
        apart = set(anomalies) if stage.anomaly_share > 0 else set()
        self.rows = np.asarray([row for row in rows if row not in apart])
        self.anomalies = np.asarray([row for row in rows if row in apart])
        # Beside the good images, not in their place: the same good ones train with and without.
        share = round(stage.anomaly_share * stage.batch_size)
        self.labelled = max(1, share) if len(self.anomalies) else 0

    def __len__(self) -> int:
        # The number of all steps: Lightning counts the ones before a resumed start too.
        return self.stage.total_steps

    def __iter__(self) -> Iterator[list[int]]:
        good = _shuffled(self.rows, self.stage.batch_size, (*self.seed, 7))
        labelled = _shuffled(self.anomalies, self.labelled, (*self.seed, 8))
        for step in range(self.stage.total_steps):
            rows = next(good) + (next(labelled) if self.labelled else [])
            if step >= self.first:
                yield rows


def _shuffled(rows: np.ndarray, size: int, seed: Sequence[int]) -> Iterator[list[int]]:
    """``size`` rows at a time from shuffled passes over ``rows``, for ever."""
    order = np.empty(0, np.int64)
    passes = np.random.default_rng(seed)
    while True:
        while len(order) < size:
            order = np.concatenate([order, passes.permutation(rows)])
        taken, order = order[:size], order[size:]
        yield taken.tolist()


class TrainingBatches(Dataset[Any]):
    """Batches by row numbers, from a cache or from files."""

    workers = 0

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        self.labels = [int(sample.label or 0) for sample in samples]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> int | tuple[int, Tensor]:
        return row

    def collate(self, rows: list[Any]) -> Batch:
        raise TypeError("use a subclass")

    def in_order(self, rows: Sequence[int], batch_size: int) -> Iterator[Batch]:
        """The given rows once, in order."""
        for start in range(0, len(rows), batch_size):
            yield self.collate([self[row] for row in rows[start : start + batch_size]])

    def set_aside(self, share: float, seed: int) -> tuple[list[int], list[int]]:
        """The rows that train, and a seeded share of the good ones that no stage sees.

        Views of one part stay together, and with a labelled anomaly of the part they train. At
        least one part is set aside where a share is asked for, and two images are kept.
        """
        good = [row for row, label in enumerate(self.labels) if label == 0]
        others = [sample for sample, label in zip(self.samples, self.labels, strict=True) if label]
        rng = np.random.default_rng([seed, 11])
        drawn = draw_parts([self.samples[row] for row in good], share, rng, training=others)
        held = sorted(good[position] for position in drawn)
        apart = set(held)
        return [row for row in range(len(self)) if row not in apart], held

    def _known(self, rows: Sequence[int]) -> dict[str, Any]:
        return {
            "labels": torch.tensor([self.labels[row] for row in rows]),
            "products": tuple(self.samples[row].product for row in rows),
            "parts": tuple(self.samples[row].part or f"{row}" for row in rows),
        }


class CachedBatches(TrainingBatches):
    def __init__(self, cache: FeatureCache, samples: Sequence[Sample]) -> None:
        super().__init__(samples)
        self.cache = cache

    def collate(self, rows: list[Any]) -> Batch:
        return Batch(features=self.cache[rows], **self._known(rows))


class ImageBatches(TrainingBatches):
    def __init__(self, samples: Sequence[Sample], preprocessing: Preprocessing) -> None:
        super().__init__(samples)
        self.preprocessing = preprocessing

    def __getitem__(self, row: int) -> tuple[int, Tensor]:
        image, _ = load_input(self.samples[row], self.preprocessing)
        # A copy: what Pillow gives may not be written to, of which torch warns.
        return row, torch.tensor(image).permute(2, 0, 1)

    def collate(self, rows: list[Any]) -> Batch:
        images = torch.stack([image for _, image in rows])
        return Batch(images=images, **self._known([row for row, _ in rows]))


def training_batches(
    method: Method,
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    cache_dir: Path,
    budget: float,
    *,
    progress: Progress,
    failures: list[tuple[Path, str]],
) -> TrainingBatches:
    """The readable samples, as cached features where stages and ``budget`` (bytes) allow it."""
    wants_images = not method.uses_teacher or any(s.needs_images for s in method.stages())
    # Half: a disk that fills up under a memory-mapped file kills the process without a word.
    budget = min(budget, _free_bytes(cache_dir) / 2)
    if not wants_images and cache_bytes(method.teacher, preprocessing.size, len(samples)) <= budget:
        cache = build_feature_cache(
            method.teacher,
            samples,
            preprocessing,
            cache_dir,
            progress=progress,
            failures=failures,
        )
        return CachedBatches(cache, [samples[row] for row in cache.kept])
    kept: list[Sample] = []
    for sample in progress.track(samples, "Checking images", len(samples)):
        try:
            load_input(sample, preprocessing)
            kept.append(sample)
        except ImageError as error:
            failures.append((sample.path, str(error)))
    return ImageBatches(kept, preprocessing)


def _free_bytes(folder: Path) -> int:
    folder = folder.absolute()
    return shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.is_dir())).free
