"""However a training stops, going on from it gives the weights of one that never stopped."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from blemish.errors import ConfigError, TrainingInterruptedError

Weights = dict[str, torch.Tensor]


#: Weights of the training that never stopped, once it is done.
_UNINTERRUPTED: list[Weights] = []


@pytest.fixture
def uninterrupted(two_stages: Any, run_training: Any, tmp_path: Path) -> Weights:
    if not _UNINTERRUPTED:
        method = two_stages()
        run_training(method, tmp_path / "uninterrupted")
        _UNINTERRUPTED.append(method.state_dict())
    return _UNINTERRUPTED[0]


def _equal(one: Weights, other: Weights) -> bool:
    return all(torch.equal(value, other[key]) for key, value in one.items())


def _interrupt(stage: str, step: int, *, times: int = 1) -> Callable[[str, int], None]:
    def watch(name: str, done: int) -> None:
        if (name, done) == (stage, step):
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    return watch


@pytest.mark.parametrize("stage", ["first", "second"])
@pytest.mark.parametrize("step", [0, 4, 9])
def test_ctrl_c_saves_and_resuming_changes_nothing(
    stage: str,
    step: int,
    two_stages: Any,
    run_training: Any,
    uninterrupted: Weights,
    tmp_path: Path,
) -> None:
    stopped = two_stages()
    stopped.watch = _interrupt(stage, step)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(TrainingInterruptedError, match=rf"step {step + 1} of 10 .*--resume"):
        run_training(stopped, tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before
    resumed = two_stages()
    run_training(resumed, tmp_path / "run", resume=True)
    assert _equal(resumed.state_dict(), uninterrupted)


def test_a_second_ctrl_c_stops_at_once_and_the_last_checkpoint_is_whole(
    two_stages: Any, run_training: Any, uninterrupted: Weights, tmp_path: Path
) -> None:
    stopped = two_stages()
    stopped.watch = _interrupt("first", 6, times=2)
    with pytest.raises(KeyboardInterrupt):
        run_training(stopped, tmp_path / "run", checkpoint_seconds=0)
    saved = torch.load(tmp_path / "run" / "stage0.ckpt", weights_only=True)
    assert saved["global_step"] == 6
    resumed = two_stages()
    run_training(resumed, tmp_path / "run", resume=True)
    assert _equal(resumed.state_dict(), uninterrupted)


def test_a_crash_loses_the_steps_since_the_last_checkpoint_only(
    two_stages: Any, run_training: Any, uninterrupted: Weights, tmp_path: Path
) -> None:
    def crash(stage: str, step: int) -> None:
        if (stage, step) == ("second", 5):
            raise RuntimeError("power cut")

    stopped = two_stages()
    stopped.watch = crash
    with pytest.raises(RuntimeError, match="power cut"):
        run_training(stopped, tmp_path / "run", checkpoint_seconds=0)
    resumed = two_stages()
    steps: list[tuple[str, int]] = []
    resumed.watch = lambda stage, step: steps.append((stage, step))
    run_training(resumed, tmp_path / "run", resume=True)
    assert steps == [("second", step) for step in range(5, 10)]
    assert _equal(resumed.state_dict(), uninterrupted)


def test_a_crash_between_the_last_step_and_the_next_stage(
    two_stages: Any, run_training: Any, uninterrupted: Weights, tmp_path: Path
) -> None:
    run_training(two_stages(), tmp_path / "run")
    record = tmp_path / "run" / "training.json"
    state = json.loads(record.read_text())
    record.write_text(json.dumps({**state, "stage": 0}))
    resumed = two_stages()
    run_training(resumed, tmp_path / "run", resume=True)
    assert _equal(resumed.state_dict(), uninterrupted)


def test_a_finished_training_resumes_to_itself(
    two_stages: Any, run_training: Any, uninterrupted: Weights, tmp_path: Path
) -> None:
    run_training(two_stages(), tmp_path / "run")
    resumed = two_stages()
    report = run_training(resumed, tmp_path / "run", resume=True)
    assert not report.losses
    assert _equal(resumed.state_dict(), uninterrupted)


def test_an_earlier_checkpoint_is_not_overwritten_unasked(
    two_stages: Any, run_training: Any, tmp_path: Path
) -> None:
    run_training(two_stages(), tmp_path / "run")
    before = (tmp_path / "run" / "stage0.ckpt").read_bytes()
    with pytest.raises(ConfigError, match=r"--resume.*--restart"):
        run_training(two_stages(), tmp_path / "run")
    assert (tmp_path / "run" / "stage0.ckpt").read_bytes() == before
    report = run_training(two_stages(), tmp_path / "run", restart=True)
    assert len(report.losses["first"]) == 10


def test_the_checkpoint_of_another_training_is_refused(
    two_stages: Any, run_training: Any, pictures: list[Any], tmp_path: Path
) -> None:
    run_training(two_stages(), tmp_path / "run")
    with pytest.raises(ConfigError, match="seed differ"):
        run_training(two_stages(), tmp_path / "run", resume=True, seed=1)
    with pytest.raises(ConfigError, match="config differ"):
        run_training(two_stages(steps=20), tmp_path / "run", resume=True)
    with pytest.raises(ConfigError, match="images differ"):
        run_training(two_stages(), tmp_path / "run", resume=True, samples=pictures[:5])
    with pytest.raises(ConfigError, match="teacher differ"):
        run_training(two_stages(weights="random"), tmp_path / "run", resume=True)
    os.utime(pictures[0].path, (1, 1))  # a picture was replaced
    with pytest.raises(ConfigError, match="images differ"):
        run_training(two_stages(), tmp_path / "run", resume=True)


@pytest.mark.parametrize("name", ["stage0.ckpt", "stage1.ckpt", "training.json"])
def test_a_damaged_checkpoint_is_one_clear_error(
    name: str, two_stages: Any, run_training: Any, tmp_path: Path
) -> None:
    run_training(two_stages(), tmp_path / "run")
    path = tmp_path / "run" / name
    whole = path.read_bytes()
    if name == "stage1.ckpt":
        record = tmp_path / "run" / "training.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), "stage": 1}))
    for damaged in (whole[: len(whole) // 2], b"[1, 2]", b""):
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match="--restart"):
            run_training(two_stages(), tmp_path / "run", resume=True)
    assert run_training(two_stages(), tmp_path / "run", restart=True).losses


def test_a_record_without_its_checkpoints_begins_anew(
    two_stages: Any, run_training: Any, uninterrupted: Weights, tmp_path: Path
) -> None:
    run_training(two_stages(), tmp_path / "run")
    for checkpoint in (tmp_path / "run").glob("stage*.ckpt"):
        checkpoint.unlink()
    again = two_stages()
    run_training(again, tmp_path / "run", resume=True)
    assert _equal(again.state_dict(), uninterrupted)


def test_without_a_folder_no_checkpoint_is_promised(two_stages: Any, run_training: Any) -> None:
    stopped = two_stages()
    stopped.watch = _interrupt("first", 4)
    with pytest.raises(TrainingInterruptedError, match=r"step 5 of 10.*work_dir=") as caught:
        run_training(stopped, None)
    assert "--resume" not in str(caught.value)


def test_without_a_folder_a_process_that_is_gone_is_no_interruption(
    two_stages: Any, run_training: Any
) -> None:
    def gone(stage: str, step: int) -> None:
        error = TrainingInterruptedError(
            "Another process has ended. The checkpoint /tmp/x/stage0.ckpt is complete."
        )
        error.exit_code = 2
        raise error

    stopped = two_stages()
    stopped.watch = gone
    with pytest.raises(TrainingInterruptedError, match=r"^Another process has ended\.$") as caught:
        run_training(stopped, None)
    assert caught.value.exit_code == 2
