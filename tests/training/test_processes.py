"""What several processes of a training are refused, and what each has of a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blemish import Detector
from blemish.errors import ConfigError
from blemish.methods.base import Method, ParameterGroup, Stage
from blemish.methods.registry import method_class
from blemish.runtime.cores import usable_cores
from blemish.teachers.teacher import build_teacher
from blemish.training.batches import StepBatches
from blemish.training.distributed import Processes, ShareDone
from blemish.training.options import TrainingOptions
from forked import ForkServer

CPU: dict[str, Any] = {"device": "cpu"}


class Two(Processes):
    """Two that have not met."""

    count = 2

    def __init__(self) -> None:
        super().__init__()


def built(name: str, **settings: Any) -> Method:
    build = method_class(name)
    return build(build.config_class(**settings), build_teacher(weights="random"), (64, 64))


def test_shares_of_all_processes_are_the_batches_of_one() -> None:
    stage = Stage("s", (ParameterGroup((), 0.1),), 5, 6)
    whole = list(StepBatches(range(10), stage, (0, 0), 2))
    parts = [list(StepBatches(range(10), stage, (0, 0), 2, share=(r, 3))) for r in range(3)]
    for step, rows in enumerate(whole):
        assert [part[step] for part in parts] == [rows[r::3] for r in range(3)]


@pytest.mark.parametrize("wrong", [{"devices": 0}, {"nodes": 0}, {"devices": -1}])
def test_no_device_at_all_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"is (0|-1); expected a whole number from 1 on"):
        TrainingOptions(**wrong)  # type: ignore[arg-type]


def test_more_processes_than_cores_are_refused() -> None:
    asked = usable_cores() + 1
    with pytest.raises(ConfigError, match=rf"{asked} devices were asked for, and there are"):
        Processes.of(TrainingOptions(devices=asked, **CPU))


def test_one_gpu_by_number_is_not_two(monkeypatch: pytest.MonkeyPatch) -> None:
    import blemish.training.distributed as distributed

    monkeypatch.setattr(distributed, "resolve_device", lambda name: name)
    with pytest.raises(ConfigError, match="cuda:1 is one GPU, and 2 on 1 machine"):
        Processes.of(TrainingOptions(device="cuda:1", devices=2))
    with pytest.raises(ConfigError, match="Apple's GPU is one"):
        Processes.of(TrainingOptions(device="mps", nodes=2))


def test_torchruns_processes_are_not_each_a_training_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match=r"torchrun has started 4 processes.*told of 1 device"):
        Processes.of(TrainingOptions(seed=7, devices=1, nodes=1, device="cpu", workers=3))


def test_a_batch_that_cannot_be_shared_equally_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"5 pictures a step.*by 2.*--set batch_size=6"):
        Two().check_shares("rd", built("rd", batch_size=5))
    Two().check_shares("rd", built("rd", batch_size=6))


@pytest.mark.parametrize(
    ("name", "settings"), [("anomem", {}), ("logicrd", {"described": "codes"})]
)
def test_a_method_that_compares_a_batchs_pictures_is_refused(
    name: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="compares the pictures of a batch"):
        Two().check_shares(name, built(name, **settings))


@pytest.mark.parametrize("name", ["rd", "borad", "hfr", "logicrd", "radar", "trio", "patchcore"])
def test_the_others_are_not(name: str) -> None:
    Two().check_shares(name, built(name))


def test_a_method_without_steps_says_that_there_is_nothing_to_share() -> None:
    assert "no training steps to share" in Two().notes(built("patchcore"))[0]
    assert Two().notes(built("rd")) == []
    assert Processes().notes(built("patchcore")) == []


@pytest.mark.skipif(usable_cores() < 2, reason="two processes need two cores")
def test_an_interactive_process_cannot_be_run_again(forks: ForkServer, tmp_path: Path) -> None:
    code = """
import sys
sys.modules["__main__"].__spec__, sys.argv = None, ["-c"]  # as Python itself has them
import numpy as np
from blemish import Detector, TrainingOptions
from blemish.errors import ConfigError
good = np.random.default_rng(0).integers(90, 110, (12, 64, 64, 3)).astype(np.uint8)
detector = Detector("hfr", teacher_weights="random", image_size=64, settings={"steps": 2})
try:
    detector.fit(good, training=TrainingOptions(device="cpu", devices=2), false_alarm_rate=0.4)
except ConfigError as error:
    print(error)
sys.exit()
"""
    found = forks.run(before=code, cwd=tmp_path)
    assert "cannot be run again: it is no file" in found.stdout, found.stderr


def test_without_steps_the_others_are_done_before_they_touch_a_folder(
    good_parts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = Two()
    second.rank, second.steps_only = 1, True
    monkeypatch.setattr(Processes, "of", lambda _: second)
    detector = Detector("patchcore", teacher_weights="random", image_size=64)
    options = TrainingOptions(work_dir=tmp_path / "w", **CPU)
    with pytest.raises(ShareDone):
        detector.fit(good_parts, false_alarm_rate=0.3, training=options)
    assert not any(tmp_path.iterdir())


def test_a_detector_on_one_device_is_first_and_saves(good_parts: Any, tmp_path: Path) -> None:
    detector = Detector("patchcore", teacher_weights="random", image_size=64)
    detector.fit(good_parts, false_alarm_rate=0.3, training=TrainingOptions(**CPU))
    detector.save(tmp_path / "m.blemish")
    assert (tmp_path / "m.blemish").is_file()
