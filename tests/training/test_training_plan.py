"""What is said before a training: the true number of steps, and minutes that cost it nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from building import build_method
from small_teachers import small_teacher

from blemish._progress import Progress
from blemish.data.images.preprocess import Preprocessing
from blemish.data.images.tiles import Tiling
from blemish.data.sample import Sample
from blemish.methods import names
from blemish.methods.registry import method_class
from blemish.methods.settings import TrainedConfig
from blemish.training.distributed import Processes
from blemish.training.options import TrainingOptions
from blemish.training.plan import announce_plan
from blemish.training.step import TRIED, seconds_per_step
from blemish.training.train import train

TRAINED = [name for name in names() if issubclass(method_class(name).config_class, TrainedConfig)]
MINUTE = 60.0


@pytest.fixture
def one_minute(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A step takes a minute; how each was asked for."""
    asked: list[dict[str, Any]] = []

    def measured(method: Any, position: int, **said: Any) -> float:
        asked.append({"position": position, **said})
        return MINUTE

    monkeypatch.setattr("blemish.training.plan.seconds_per_step", measured)
    return asked


def announced(
    method: Any,
    samples: list[Sample],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    preprocessing: Preprocessing | None = None,
    **options: Any,
) -> tuple[str, Any]:
    """What the training said it was to do, and its report."""
    report = train(
        method,
        samples,
        preprocessing or Preprocessing(64, 64),
        TrainingOptions(work_dir=folder, device="cpu", **options),
        progress=Progress(),
    )
    lines = capsys.readouterr().err.splitlines()
    (said,) = [line for line in lines if line.startswith("To do: ")]
    assert lines.index(said) < min(n for n, line in enumerate(lines) if "Training " in line)
    return said, report


@pytest.mark.parametrize("name", TRAINED)
def test_trying_a_step_leaves_the_method_and_the_random_numbers_as_they_were(name: str) -> None:
    with torch.random.fork_rng():
        method = build_method(name, {"batch_size": 4}, small_teacher("tiny-three"), (64, 64))
    before = {key: value.clone() for key, value in method.state_dict().items()}
    strides = [p.stride() for p in method.parameters()]
    numbers, modes = torch.get_rng_state(), [m.training for m in method.modules()]
    for position, stage in enumerate(method.stages()):
        cached = method.uses_teacher and not stage.needs_images
        assert seconds_per_step(method, position, images=12, cached=cached) > 0
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    assert all(p.grad is None for p in method.parameters())
    assert [p.stride() for p in method.parameters()] == strides
    assert [m.training for m in method.modules()] == modes
    assert torch.equal(torch.get_rng_state(), numbers)


def test_a_training_that_is_announced_gives_the_weights_of_one_that_is_not(
    two_stages: Any, pictures: list[Sample], run_training: Any, tmp_path: Path
) -> None:
    told, untold = two_stages(steps=20), two_stages(steps=20)
    options = TrainingOptions(work_dir=tmp_path / "told", device="cpu")
    train(told, pictures, Preprocessing(64, 64), options, progress=Progress())
    run_training(untold, tmp_path / "untold")
    wanted = untold.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in told.state_dict().items())


def test_two_steps_of_each_stage_are_tried_and_none_where_nothing_is_shown(
    two_stages: Any,
    pictures: list[Sample],
    run_training: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = two_stages(steps=20)
    calls: list[str] = []
    loss = type(method).loss

    def counted(self: Any, batch: Any, stage: Any) -> Any:
        calls.append(stage.name)
        return loss(self, batch, stage)

    monkeypatch.setattr(type(method), "loss", counted)
    said, _ = announced(method, pictures, tmp_path / "told", capsys)
    assert len(calls) == 2 * (20 + TRIED)
    times = r"about [\d.]+ (?:s|min|h)"
    assert re.fullmatch(
        rf"To do: 8 pictures through the teacher, {times}; then 20 steps of 4 pictures \(first\), "
        rf"{times}, 20 steps of 4 pictures \(second\), {times} on this machine's CPU\.",
        said,
    )
    calls.clear()
    run_training(two_stages(steps=20), tmp_path / "quiet")
    assert len(calls) == 2 * 20


@pytest.mark.usefixtures("one_minute")
def test_the_minutes_are_those_of_all_steps(
    two_stages: Any, pictures: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said, _ = announced(two_stages(steps=25), pictures, tmp_path / "w", capsys)
    assert said.endswith(
        "25 steps of 4 pictures (first), about 25 min, "
        "25 steps of 4 pictures (second), about 25 min on this machine's CPU."
    )
    said, _ = announced(two_stages(steps=1), pictures, tmp_path / "v", capsys)
    assert said.endswith(
        " on this machine's CPU; then 1 step of 4 pictures (first), 1 step of 4 pictures (second)."
    )


@pytest.mark.parametrize("tiled", [False, True])
def test_as_many_steps_are_said_as_are_done(
    two_stages: Any,
    pictures: list[Sample],
    one_minute: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tiled: bool,
) -> None:
    """Epochs over what trains: neither pictures set aside, nor labelled ones beside the others."""
    method = two_stages()
    method.held_out_share = 0.25
    stages = [
        replace(stage, steps=None, epochs=18.0, anomaly_share=share)
        for stage, share in zip(method.stages(), (0.5, 0.0), strict=True)
    ]
    monkeypatch.setattr(method, "stages", lambda: stages)
    samples = [*pictures[:-1], replace(pictures[-1], label=1)]
    preprocessing = Preprocessing(64, 64)
    if tiled:
        method.input_size = (32, 32)
        preprocessing = Preprocessing(32, 32, tiling=Tiling(overlap=0))
    said, report = announced(method, samples, tmp_path / "w", capsys, preprocessing)
    done = [losses[-1][0] for losses in report.losses.values()]
    assert [int(steps) for steps in re.findall(r"(\d+) steps of", said)] == done
    assert ("8 pictures in 32 tiles" in said) == tiled
    assert [asked["labelled"] for asked in one_minute] == [2, 0]
    assert [asked["cached"] for asked in one_minute] == [True, True]


def test_a_step_that_cannot_be_tried_is_said_without_minutes(
    two_stages: Any,
    pictures: list[Sample],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any, **__: Any) -> float:
        raise RuntimeError("needs what prepare() finds")

    monkeypatch.setattr("blemish.training.plan.seconds_per_step", broken)
    said, _ = announced(two_stages(steps=20), pictures, tmp_path / "w", capsys)
    assert said.endswith("; then 20 steps of 4 pictures (first), 20 steps of 4 pictures (second).")


def test_pictures_that_every_step_reads_take_their_time(
    two_stages: Any,
    pictures: list[Sample],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    one_minute: list[dict[str, Any]],
) -> None:
    monkeypatch.setattr("blemish.training.plan._seconds_of_reading", lambda *_: 30.0)
    method = two_stages(steps=20, needs_images=True)
    said, _ = announced(method, pictures, tmp_path / "w", capsys, workers=2)
    assert "20 steps of 4 pictures (first), about 40 min" in said
    assert not one_minute[0]["cached"]


def test_what_was_done_before_is_not_said_again(
    two_stages: Any,
    pictures: list[Sample],
    one_minute: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    method = two_stages(steps=20)

    def stop(stage: str, step: int) -> None:
        if stage == "second" and step == 3:
            raise RuntimeError("the power fails")

    method.watch = stop
    with pytest.raises(RuntimeError, match="power"):
        announced(method, pictures, tmp_path / "w", capsys, checkpoint_seconds=0.0)
    capsys.readouterr()
    one_minute.clear()
    said, _ = announced(two_stages(steps=20), pictures, tmp_path / "w", capsys, resume=True)
    assert said == "To do: what is left of 20 steps of 4 pictures (second)."
    assert one_minute == []


def test_features_that_are_kept_are_not_told_again(
    two_stages: Any, pictures: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {"cache_dir": tmp_path / "features"}
    said, _ = announced(two_stages(steps=1), pictures, tmp_path / "w", capsys, **kept)
    assert "8 pictures through the teacher" in said
    said, _ = announced(two_stages(steps=1), pictures, tmp_path / "v", capsys, **kept)
    assert said == "To do: 1 step of 4 pictures (first), 1 step of 4 pictures (second)."
    said, _ = announced(two_stages(steps=1), pictures[1:], tmp_path / "u", capsys, **kept)
    assert "7 pictures through the teacher" in said


def test_one_of_several_processes_tries_its_share_of_a_step(
    two_stages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, seen = two_stages(), []
    loss = type(method).loss

    def counted(self: Any, batch: Any, stage: Any) -> Any:
        seen.append(batch.labels.tolist())
        return loss(self, batch, stage)

    monkeypatch.setattr(type(method), "loss", counted)
    seconds_per_step(method, 0, images=8, cached=True, labelled=2, processes=2)
    assert seen[0] == [0, 0, 1]


def test_what_is_tried_has_a_processs_share_of_the_batch_and_of_the_cores(
    two_stages: Any,
    pictures: list[Sample],
    one_minute: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two = Processes()
    two.count, two.devices = 2, 2
    threads: list[int] = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("blemish.training.distributed.usable_cores", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    announce_plan(
        two_stages(steps=20),
        pictures,
        Preprocessing(64, 64),
        TrainingOptions(),
        Progress(),
        device="cpu",
        cache_dir=tmp_path,
        processes=two,
    )
    assert "20 steps of 4 pictures (first), about 20 min" in capsys.readouterr().err
    assert [asked["processes"] for asked in one_minute] == [2, 2]
    assert threads[0] == 3
