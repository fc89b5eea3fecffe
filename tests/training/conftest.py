"""A small two-stage method with every kind of state, and trainings of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from blemish._progress import Progress
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.methods.base import (
    Batch,
    Method,
    MethodOutput,
    ParameterGroup,
    Stage,
    StepDecay,
)
from blemish.methods.settings import TrainedConfig
from blemish.teachers.teacher import Weights, build_teacher
from blemish.training.options import TrainingOptions
from blemish.training.train import train
from blemish.training.training_report import TrainingReport


class TwoStages(Method):
    """Random numbers in the loss, batch statistics, a moving average, closed-form statistics."""

    def __init__(
        self, *, steps: int = 10, needs_images: bool = False, weights: Weights = "pretrained"
    ) -> None:
        teacher = build_teacher(weights=weights)
        super().__init__(TrainedConfig(steps=steps, batch_size=4), teacher, (64, 64))
        self.needs_images = needs_images
        self.first = nn.Sequential(nn.Conv2d(112, 8, 1), nn.BatchNorm2d(8))
        self.second = nn.Conv2d(8, 1, 1)
        self.register_buffer("average", torch.zeros(1))
        self.register_buffer("seen", torch.zeros(1))
        self.watch: Callable[[str, int], None] = lambda stage, step: None
        self.batches: list[Batch] = []

    def stages(self) -> list[Stage]:
        return [
            Stage(
                name,
                (ParameterGroup((module,), 1e-2, clip_norm=1.0),),
                self.config.steps,
                self.config.batch_size,
                schedule=StepDecay(0.5),
                needs_images=self.needs_images,
            )
            for name, module in (("first", self.first), ("second", self.second))
        ]

    def loss(self, batch: Batch, stage: Stage) -> dict[str, Tensor]:
        self.batches.append(batch)
        deepest = self.levels(batch)[-1]
        masked = deepest * (torch.rand_like(deepest) > 0.3)
        projected = self.first(masked)
        error = (self.second(projected) - torch.randn(1)).square().mean()
        return {"total": error + projected.square().mean(), "error": error}

    def after_step(self, stage: Stage, step: int) -> None:
        self.average.lerp_(self.second.bias.detach() + self.first[0].bias.detach().mean(), 0.1)
        self.watch(stage.name, step)

    def fit_statistics(self, batches: Iterable[Batch]) -> None:
        assert not self.training
        self.seen.fill_(sum(self.levels(batch)[0].shape[0] for batch in batches))

    def forward(self, images: Tensor) -> MethodOutput:
        deepest = self.teacher(images)[-1]
        score = self.second(self.first(deepest)).mean((1, 2, 3))
        return MethodOutput(score.view(-1, 1, 1, 1).expand(-1, 1, 64, 64), score, {})


BuildMethod = Callable[..., TwoStages]
RunTraining = Callable[..., TrainingReport]


@pytest.fixture
def two_stages() -> BuildMethod:
    """Builds the same freshly initialised method every time."""

    def build(**kwargs: Any) -> TwoStages:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return TwoStages(**kwargs)

    return build


@pytest.fixture
def pictures(tmp_path: Path, good_parts: NDArray[np.uint8]) -> list[Sample]:
    """Eight images as files."""
    (tmp_path / "good").mkdir()
    paths = [tmp_path / "good" / f"{i}.png" for i in range(8)]
    for path, image in zip(paths, good_parts, strict=False):
        Image.fromarray(image).save(path)
    return [Sample(path, "part", "train", 0) for path in paths]


@pytest.fixture
def run_training(pictures: list[Sample]) -> RunTraining:
    """``run_training(method, work_dir, samples=…, **options)``."""

    def run(
        method: Method, work_dir: Path, *, samples: list[Sample] | None = None, **options: Any
    ) -> TrainingReport:
        return train(
            method,
            pictures if samples is None else samples,
            Preprocessing(64, 64),
            TrainingOptions(work_dir=work_dir, device="cpu", **options),
            progress=Progress(quiet=True),
        )

    return run
