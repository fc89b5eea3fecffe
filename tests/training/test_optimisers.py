"""Any optimiser of torch, any schedule, a length in epochs; resuming restores their state."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from blemish.errors import TrainingInterruptedError
from blemish.methods.base import Cosine, Method, ParameterGroup, Schedule, Stage, WarmUp, constant

SGD = partial(torch.optim.SGD, momentum=0.9, nesterov=True)


def with_stages(method: Method, **changes: Any) -> Method:
    stages = [replace(stage, **changes) for stage in method.stages()]
    method.stages = lambda: stages  # type: ignore[method-assign]
    return method


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [(SGD, Cosine()), (torch.optim.AdamW, WarmUp(0.3, then=Cosine())), (torch.optim.RMSprop, None)],
)
def test_resuming_restores_optimiser_and_schedule(
    optimizer: Any, schedule: Schedule | None, two_stages: Any, run_training: Any, tmp_path: Path
) -> None:
    chosen = {"optimizer": optimizer, "schedule": schedule or (lambda step, steps: 1 / (1 + step))}
    whole = with_stages(two_stages(), **chosen)
    run_training(whole, tmp_path / "whole")
    stopped = with_stages(two_stages(), **chosen)

    def interrupt(stage: str, step: int) -> None:
        if (stage, step) == ("second", 5):
            os.kill(os.getpid(), signal.SIGINT)

    stopped.watch = interrupt
    with pytest.raises(TrainingInterruptedError, match="step 6 of 10"):
        run_training(stopped, tmp_path / "run")
    resumed = with_stages(two_stages(), **chosen)
    run_training(resumed, tmp_path / "run", resume=True)
    weights = whole.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in resumed.state_dict().items())
    adam = two_stages()
    run_training(adam, tmp_path / "adam")
    assert not torch.equal(adam.first[0].weight, whole.first[0].weight)  # it did choose


def test_the_steps_taken_are_the_optimisers_own(
    two_stages: Any, run_training: Any, tmp_path: Path
) -> None:
    method = two_stages()
    sizes: list[float] = []

    def slope(batch: Any, stage: Stage) -> dict[str, torch.Tensor]:
        return {"total": method.first[0].bias.sum() + method.second.bias.sum()}

    before = {"first": method.first[0].bias.detach().clone(), "second": method.second.bias.item()}

    def watch(stage: str, step: int) -> None:
        now = method.first[0].bias.detach().clone()
        sizes.append(float((before["first"] - now).mean()))
        before["first"] = now

    def stages() -> list[Stage]:
        group = ParameterGroup((method.first,), 0.5, {"momentum": 0.5})
        return [Stage("first", (group,), 4, 4, optimizer=torch.optim.SGD, schedule=Cosine())]

    method.loss, method.watch, method.stages = slope, watch, stages
    run_training(method, tmp_path / "run")
    velocity, expected = 0.0, []
    for step in range(4):
        velocity = 0.5 * velocity + 1.0
        expected.append(0.5 * Cosine()(step, 4) * velocity)
    assert sizes == pytest.approx(expected, rel=1e-4)


def test_a_stage_of_epochs_passes_over_the_images_that_often(
    two_stages: Any, run_training: Any, tmp_path: Path
) -> None:
    method = with_stages(two_stages(), steps=None, epochs=3, schedule=constant)
    seen: list[int] = []
    method.watch = lambda stage, step: seen.append(step)
    report = run_training(method, tmp_path / "run")
    assert seen == [*range(6), *range(6)]  # 8 images, 4 at a time
    assert [step for step, _ in report.losses["second"]] == list(range(1, 7))
