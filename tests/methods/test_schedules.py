"""Schedules of the learning rate, step by step."""

from __future__ import annotations

import math

import pytest

from blemish.methods.base import Cosine, Schedule, Stage, StepDecay, WarmUp, constant


def factors(schedule: Schedule, steps: int) -> list[float]:
    return [schedule(step, steps) for step in range(steps)]


def test_each_schedule_by_hand() -> None:
    assert factors(constant, 3) == [1.0] * 3
    assert factors(StepDecay(), 10) == [1.0] * 8 + [0.1] * 2
    assert factors(StepDecay(1.0), 4) == [1.0] * 4
    assert factors(StepDecay(0.5, factor=0.25), 3) == [1.0, 1.0, 0.25]
    assert factors(Cosine(), 4) == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, 0.1464466])
    assert factors(Cosine(last=0.2), 2) == pytest.approx([1.0, 0.6])
    assert factors(WarmUp(0.5), 4) == [0.5, 1.0, 1.0, 1.0]
    assert factors(WarmUp(0.25, then=Cosine()), 4) == pytest.approx([1.0, 1.0, 0.75, 0.25])
    assert factors(WarmUp(0.0, then=StepDecay(0.5)), 2) == [1.0, 0.1]
    assert WarmUp(0.5, then=Cosine())(1, 1) == 1.0  # torch asks once more behind the last step


@pytest.mark.parametrize(("images", "steps"), [(8, 6), (9, 7), (1, 1), (100, 75)])
def test_a_length_in_epochs_follows_the_images(images: int, steps: int) -> None:
    stage = Stage("s", (), batch_size=4, epochs=3)
    assert stage.settled(images).total_steps == steps
    with pytest.raises(ValueError, match="settle it"):
        _ = stage.total_steps
    fixed = Stage("s", (), 5)
    assert fixed.settled(images) is fixed


@pytest.mark.parametrize("length", [{}, {"steps": 3, "epochs": 1}])
def test_a_stage_has_one_length(length: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="its steps or its epochs"):
        Stage("s", (), **length)
