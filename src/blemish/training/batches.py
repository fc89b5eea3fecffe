"""Training batches: the teacher's features, computed before, or images from files.

The teacher is frozen and the systems of the reverse-distillation family use no image augmentation,
so that its features do for every step. A picture that is cut into tiles gives a row for each of
those that train.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from blemish._progress import Progress
from blemish.data.images.preprocess import Preprocessing
from blemish.data.prefetch import prefetched
from blemish.data.sample import Sample, draw_parts
from blemish.data.sources import learnable_input
from blemish.errors import DataError, ImageError
from blemish.inspection.pipeline import decoder_threads
from blemish.methods.base import Batch, Method, Stage
from blemish.nn.precision import single_at_least
from blemish.training.feature_cache import (
    FeatureCache,
    build_feature_cache,
    cache_bytes,
    readable_batches,
)
from blemish.training.tile_sample import TileSample, choose_tiles


class StepBatches(Sampler[list[int]]):
    """The rows of every step: shuffled passes over the data, cut into batches.

    The batches follow from the seed and the rows alone; those before ``first``, the first step
    still to be done, are left out on resuming. ``seed`` is that of the training and the position
    of the stage; ``anomalies`` are those of the rows that are labelled anomalies. Of several
    processes that ``share`` (rank, number) the batches, each has its part of every one.
    """

    def __init__(
        self,
        rows: Sequence[int],
        stage: Stage,
        seed: tuple[int, int],
        first: int,
        *,
        anomalies: Sequence[int] = (),
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.stage, self.seed, self.first, self.share = stage, seed, first, share
        apart = set(anomalies) if stage.anomaly_share > 0 else set()
        self.rows = np.asarray([row for row in rows if row not in apart])
        self.anomalies = np.asarray([row for row in rows if row in apart])
        # Beside the good images, not in their place: the same good ones train with and without.
        wanted = round(stage.anomaly_share * stage.batch_size)
        self.labelled = max(1, wanted) if len(self.anomalies) else 0

    def __len__(self) -> int:
        # The number of all steps: Lightning counts the ones before a resumed start too.
        return self.stage.total_steps

    def __iter__(self) -> Iterator[list[int]]:
        rank, processes = self.share
        good = _shuffled(self.rows, self.stage.batch_size, (*self.seed, 7))
        labelled = _shuffled(self.anomalies, self.labelled, (*self.seed, 8))
        for step in range(self.stage.total_steps):
            rows = next(good) + (next(labelled) if self.labelled else [])
            if step >= self.first:
                yield rows[rank::processes]


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
    """Batches by row numbers, from a cache or from files.

    Args:
        samples: The sample of every row.
        pictures: Number of every row's picture, where several rows are tiles of one; ``None``:
            each row is a picture.
        coarse: Whether each row is a coarse look at a whole picture; ``None``: none is.
    """

    #: Where batches are put, and how many threads make them ready ahead.
    device, workers = "cpu", 0
    #: How pictures are read, of those that make batches.
    preprocessing: Preprocessing

    def __init__(
        self,
        samples: Sequence[Sample],
        pictures: Sequence[int] | None = None,
        coarse: Sequence[bool] | None = None,
    ) -> None:
        self.samples = samples
        self.labels = [int(sample.label or 0) for sample in samples]
        self.pictures, self.coarse = pictures, coarse
        #: Whether all tiles of all pictures are there.
        self.whole = True

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> int | tuple[int, Tensor]:
        return row

    def collate(self, rows: list[Any]) -> Batch:
        raise TypeError("use a subclass")

    def in_order(self, rows: Sequence[int], batch_size: int) -> Iterator[Batch]:
        """The given rows once, in order, on the device."""
        starts = range(0, len(rows), batch_size)
        plan = (rows[start : start + batch_size] for start in starts)
        return (moved(batch, self.device) for batch in self.batches(plan))

    def batches(self, plan: Iterable[Sequence[int]]) -> Iterator[Batch]:
        """Batches of the planned rows, in order, made ready ahead; in memory that GPUs read."""
        on_gpu = self.device.startswith("cuda")

        def batch(rows: Sequence[int]) -> Batch:
            made = self.collate([self[row] for row in rows])
            return made.changed(Tensor.pin_memory) if on_gpu else made

        return prefetched(batch, plan, threads=self.workers, depth=self.workers + 1)

    def set_aside(self, share: float, seed: int) -> tuple[list[int], list[int]]:
        """The rows that train, and a seeded share of the good ones that no stage sees.

        Views of one part, and groups, stay together; with a labelled anomaly of theirs they train.
        At least one part is set aside where a share is asked for, and two images are kept.
        """
        good = [row for row, label in enumerate(self.labels) if label == 0]
        others = [sample for sample, label in zip(self.samples, self.labels, strict=True) if label]
        rng = np.random.default_rng([seed, 11])
        drawn = draw_parts([self.samples[row] for row in good], share, rng, training=others)
        held = sorted(good[position] for position in drawn)
        apart = set(held)
        return [row for row in range(len(self)) if row not in apart], held

    def check_set_aside(self, held: Sequence[int], fewest: int) -> None:
        """Refuse a training whose last step would have too few images.

        Raises:
            DataError: Images were set aside, and fewer than that.
        """
        if 0 < len(held) < fewest:
            raise DataError(
                f"This method needs {fewest} good images or more that its network does not train "
                f"on; of {len(self)} only {len(held)} could be set aside for it, whole groups "
                "together. Give more good images: 20 are few."
            )

    def _known(self, rows: Sequence[int]) -> dict[str, Any]:
        def pixels(n: int) -> Tensor:
            return _tensor(learnable_input(self.samples[rows[n]], self.preprocessing).pixels)

        return {
            "labels": torch.tensor([self.labels[row] for row in rows]),
            "products": tuple(self.samples[row].product for row in rows),
            "parts": tuple(self.samples[row].together or f"row {row}" for row in rows),
            "pictures": self.pictures and tuple(self.pictures[row] for row in rows),
            "coarse": self.coarse and tuple(self.coarse[row] for row in rows),
            # Tiles are of pictures that may be too large to be read again for each of them.
            "pixels": None if self.pictures else pixels,
        }


class CachedBatches(TrainingBatches):
    """Batches of the teacher's features, from the cache."""

    def __init__(
        self,
        cache: FeatureCache,
        samples: Sequence[Sample],
        pictures: Sequence[int] | None = None,
        coarse: Sequence[bool] | None = None,
        *,
        preprocessing: Preprocessing,
    ) -> None:
        super().__init__(samples, pictures, coarse)
        self.cache, self.preprocessing = cache, preprocessing

    def collate(self, rows: list[Any]) -> Batch:
        # Half the bytes on the way; they are float32 there.
        features = self.cache[rows] if self.device == "cpu" else self.cache.stored(rows)
        return Batch(features=features, **self._known(rows))


class ImageBatches(TrainingBatches):
    """Batches of pixels, read anew each time."""

    def __init__(self, samples: Sequence[Sample], preprocessing: Preprocessing) -> None:
        super().__init__(samples)
        self.preprocessing = preprocessing

    def __getitem__(self, row: int) -> tuple[int, Tensor]:
        return row, _tensor(learnable_input(self.samples[row], self.preprocessing).pixels)

    def collate(self, rows: list[Any]) -> Batch:
        images = torch.stack([image for _, image in rows])
        return Batch(images=images, **self._known([row for row, _ in rows]))


class TileBatches(ImageBatches):
    """Tiles from a file that maps them: to read a large picture for each of them takes too long."""

    def __init__(
        self,
        tiles: NDArray[np.uint8],
        samples: Sequence[Sample],
        preprocessing: Preprocessing,
        pictures: Sequence[int],
        coarse: Sequence[bool] | None = None,
    ) -> None:
        super().__init__(samples, preprocessing)
        self.tiles, self.pictures, self.coarse = tiles, pictures, coarse

    def __getitem__(self, row: int) -> tuple[int, Tensor]:
        return row, _tensor(self.tiles[row])


def moved(batch: Batch, device: str | torch.device) -> Batch:
    """The batch on a device; features, which are kept as float16, as float32."""
    batch = batch.changed(lambda tensor: tensor.to(device, non_blocking=True))
    features = batch.features and tuple(map(single_at_least, batch.features))
    return replace(batch, features=features)


def device_of(method: Method) -> str:
    """The device where a method's weights are."""
    return str(next(method.parameters()).device)


def _tensor(image: NDArray[np.uint8]) -> Tensor:
    # A copy: what Pillow gives may not be written to, of which torch warns.
    return torch.tensor(image).permute(2, 0, 1)


def training_batches(
    method: Method,
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    cache_dir: Path,
    budget: float,
    *,
    progress: Progress,
    failures: list[tuple[Path, str]],
    seed: int = 0,
    workers: int | None = None,
    agreed: Callable[[float], float] = float,
) -> TrainingBatches:
    """The readable samples, as cached features where stages and ``budget`` (bytes) allow it.

    The device is the method's. Where samples are cut into tiles, ``seed`` draws those that train,
    if they are too many; ``workers`` threads decode, ``None``: as many as when judging. ``agreed``:
    what several processes make of what each of them finds of the budget.
    """
    workers = decoder_threads() if workers is None else workers
    tiles = choose_tiles(samples, preprocessing, seed=seed)
    rows, pictures = rows_of(samples, preprocessing, tiles)

    looks = tiles.looks() if tiles.coarse else None

    def of(kept: list[int]) -> tuple[list[Sample], list[int] | None, list[bool] | None]:
        own = pictures and [pictures[row] for row in kept]
        return [rows[row] for row in kept], own, looks and [looks[row] for row in kept]

    def at(data: TrainingBatches, threads: int) -> TrainingBatches:
        data.device, data.workers, data.whole = device_of(method), threads, tiles.whole
        return data

    if agreed(caches(method, preprocessing, len(tiles), cache_dir, budget)):
        cache = build_feature_cache(
            method.teacher,
            samples,
            preprocessing,
            cache_dir,
            progress=progress,
            failures=failures,
            tiles=tiles,
            workers=workers,
        )
        cached = CachedBatches(cache, *of(cache.kept), preprocessing=preprocessing)
        return at(cached, min(1, workers))
    if preprocessing.tiling is not None:
        mapped, kept = _map_tiles(samples, preprocessing, tiles, cache_dir, progress, failures)
        own, numbers, coarse = of(kept)
        data = TileBatches(mapped, own, preprocessing, numbers or [], coarse)
        return at(data, min(1, workers))

    def is_readable(sample: Sample) -> ImageError | None:
        try:
            learnable_input(sample, preprocessing)
        except ImageError as error:
            return error
        return None

    checked = prefetched(is_readable, samples, threads=workers, depth=workers + 1)
    found = list(progress.track(checked, "Checking images", len(samples)))
    errors = zip(samples, found, strict=True)
    failures += [(sample.path, str(error)) for sample, error in errors if error is not None]
    readable = [sample for sample, error in zip(samples, found, strict=True) if error is None]
    return at(ImageBatches(readable, preprocessing), workers)


def rows_of(
    samples: Sequence[Sample], preprocessing: Preprocessing, tiles: TileSample
) -> tuple[list[Sample], list[int] | None]:
    """The sample of every row that trains, and the number of its picture where these are tiles."""
    if preprocessing.tiling is None:
        return list(samples), None
    pictures = [picture for picture, _ in tiles.rows()]
    # Tiles of one picture are views of one part: never measured by each other.
    rows = [replace(samples[n], part=samples[n].part or f"picture {n}") for n in pictures]
    return rows, pictures


def caches(
    method: Method, preprocessing: Preprocessing, rows: int, cache_dir: Path, budget: float
) -> bool:
    """Whether the teacher's features of so many rows are kept, within ``budget`` bytes."""
    if not method.uses_cached_features:
        return False
    # Half: a disk that fills up under a memory-mapped file kills the process without a word.
    budget = min(budget, _free_bytes(cache_dir) / 2)
    return cache_bytes(method.teacher, preprocessing.size, rows) <= budget


def _map_tiles(
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    tiles: TileSample,
    folder: Path,
    progress: Progress,
    failures: list[tuple[Path, str]],
) -> tuple[NDArray[np.uint8], list[int]]:
    """Tiles ``(N, H, W, 3)`` in a file that goes with the process, and the positions that are."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        mapped = np.memmap(file, np.uint8, "w+", shape=(len(tiles), *preprocessing.size, 3))
    kept: list[int] = []
    failed: list[tuple[str, str]] = []
    read = readable_batches(samples, preprocessing, tiles, 1, failed)
    for positions, image in progress.track(read, "Cutting tiles", len(tiles)):
        mapped[len(kept)] = image[0].permute(1, 2, 0).numpy()
        kept += positions
    failures += [(Path(path), reason) for path, reason in failed]
    return mapped, kept


def _free_bytes(folder: Path) -> int:
    folder = folder.absolute()
    return shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.is_dir())).free
