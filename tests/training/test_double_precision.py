"""Training in float64: every method takes its steps in it, and is float32 again afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from numpy.typing import NDArray
from small_teachers import small_teacher

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.errors import ConfigError
from blemish.methods import names
from blemish.methods.registry import method_class
from blemish.methods.settings import TrainedConfig
from blemish.nn.precision import DOUBLE
from blemish.training.step import seconds_per_step

#: From features and from images; the others when slow tests run.
_ALWAYS = ("rd", "radar")
TRAINED = [
    pytest.param(name, marks=[] if name in _ALWAYS else pytest.mark.slow)
    for name in names()
    if issubclass(method_class(name).config_class, TrainedConfig)
]


class Kinds(Callback):
    """What weights, gradients and losses are made of during steps."""

    def __init__(self) -> None:
        self.seen: set[torch.dtype] = set()
        self.losses: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        for parameter in pl_module.method.parameters():
            self.seen |= {parameter.dtype}
            self.seen |= set() if parameter.grad is None else {parameter.grad.dtype}
        self.seen |= {pl_module.losses["total"].dtype}
        self.losses.append(float(pl_module.losses["total"]))


def fitted(name: str, good: NDArray[np.uint8], precision: str) -> tuple[Detector, Kinds]:
    detector = Detector(
        name,
        teacher=small_teacher("tiny-three"),
        image_size=64,
        settings={"steps": 2, "batch_size": 4},
    )
    kinds = Kinds()
    options = TrainingOptions(device="cpu", precision=precision, callbacks=(kinds,))
    detector.fit(good, false_alarm_rate=0.3, training=options, progress=Progress(quiet=True))
    return detector, kinds


@pytest.mark.parametrize("name", TRAINED)
def test_steps_are_in_float64_and_the_model_in_float32(
    name: str, good_parts: NDArray[np.uint8]
) -> None:
    detector, kinds = fitted(name, good_parts[:16], DOUBLE)
    assert kinds.seen == {torch.float64}
    assert np.isfinite(kinds.losses).all()
    assert detector.method is not None
    state = detector.method.state_dict().values()
    assert {v.dtype for v in state if v.is_floating_point()} == {torch.float32}
    assert detector.training["precision"] == DOUBLE
    assert np.isfinite(detector.inspect(good_parts[0]).score)


def test_the_first_loss_is_that_of_float32(good_parts: NDArray[np.uint8]) -> None:
    """Of a method that draws nothing in its loss, whose numbers would be others."""
    single, double = (fitted("rd", good_parts[:16], p)[1].losses for p in ("32-true", DOUBLE))
    assert double[0] == pytest.approx(single[0], rel=1e-5)
    assert double[0] != single[0]


@pytest.mark.parametrize("name", TRAINED)
def test_its_steps_can_be_timed(name: str) -> None:
    build = method_class(name)
    method = build(build.config_class(batch_size=4), small_teacher("tiny-three"), (64, 64))
    cached = method.uses_teacher and not any(s.needs_images for s in method.stages())
    assert seconds_per_step(method, 0, images=8, cached=cached, precision=DOUBLE) > 0
    assert torch.get_default_dtype() == torch.float32


def test_apples_gpu_has_no_float64() -> None:
    with pytest.raises(ConfigError, match="no float64"):
        TrainingOptions(device="mps", precision=DOUBLE)
