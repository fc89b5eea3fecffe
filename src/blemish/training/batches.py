"""Training batches: from the feature cache, or from image files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from blemish.data.holdout import draw_parts
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.methods.base import Batch, Stage
from blemish.training.feature_cache import FeatureCache


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

    def _labels(self, rows: Sequence[int]) -> Tensor:
        return torch.tensor([self.labels[row] for row in rows])


class CachedBatches(TrainingBatches):
    def __init__(self, cache: FeatureCache, samples: Sequence[Sample]) -> None:
        super().__init__(samples)
        self.cache = cache

    def collate(self, rows: list[Any]) -> Batch:
        return Batch(features=self.cache[rows], labels=self._labels(rows))


class ImageBatches(TrainingBatches):
    def __init__(self, samples: Sequence[Sample], preprocessing: Preprocessing) -> None:
        super().__init__(samples)
        self.preprocessing = preprocessing

    def __getitem__(self, row: int) -> tuple[int, Tensor]:
        image, _ = self.preprocessing.load(self.samples[row])
        # A copy: what Pillow gives may not be written to, of which torch warns.
        return row, torch.tensor(image).permute(2, 0, 1)

    def collate(self, rows: list[Any]) -> Batch:
        images = torch.stack([image for _, image in rows])
        return Batch(images=images, labels=self._labels([row for row, _ in rows]))
