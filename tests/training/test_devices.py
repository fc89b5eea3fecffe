"""The device asked for does all the work: features, steps, statistics, calibration, judging."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from building import BRIEF_RADAR, TINY_RADAR
from numpy.typing import NDArray
from phantom_device import NAME, PhantomDevice, on_phantom
from small_teachers import known_by_name

from blemish import Detector, TrainingOptions
from blemish._progress import Progress
from blemish.data.sample import DataSet, Sample
from blemish.errors import ConfigError
from blemish.methods.base import Batch
from blemish.methods.radar.config import NETWORKS
from blemish.methods.registry import method_class, names
from blemish.methods.settings import TrainedConfig
from blemish.teachers.teacher import Teacher
from blemish.training import devices, distributed
from blemish.training.method_network import MethodNetwork

QUIET = Progress(quiet=True)


@pytest.fixture
def phantom(monkeypatch: pytest.MonkeyPatch) -> Iterator[PhantomDevice]:
    """``cuda:7`` is there for all but Lightning, which trains on the CPU and says what it got."""
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 8)
    monkeypatch.setattr(devices, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    judge = MethodNetwork.__call__

    def in_its_thread(self: MethodNetwork, pixels: NDArray[np.uint8]) -> Any:
        with PhantomDevice():  # a mode is its thread's own
            return judge(self, pixels)

    monkeypatch.setattr(MethodNetwork, "__call__", in_its_thread)
    with PhantomDevice() as mode:
        yield mode


def parts(count: int = 24) -> DataSet:
    rng = np.random.default_rng(0)
    images = rng.integers(90, 110, (count, 64, 64, 3)).astype(np.uint8)
    samples = [Sample(Path(f"{n}.png"), "part", "train", 0, image=i) for n, i in enumerate(images)]
    tested = [
        Sample(Path(f"t{n}.png"), "part", "test", n % 2, image=images[n] + np.uint8(40 * (n % 2)))
        for n in range(4)
    ]
    return DataSet(Path(), "arrays", (*samples, *tested))


def watched(monkeypatch: pytest.MonkeyPatch, name: str) -> dict[str, set[bool]]:
    """By stage, whether what came in lay on the device."""
    seen: dict[str, set[bool]] = {}

    def looked_at(of: str, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            inputs = batch.images if batch.features is None else batch.features[0]
            assert inputs is not None
            seen.setdefault(of, set()).add(on_phantom(inputs))
            yield batch

    method = method_class(name)
    for of in ("prepare", "fit_statistics", "fit_held_out"):
        own = getattr(method, of)
        monkeypatch.setattr(
            method, of, lambda self, batches, own=own, of=of: own(self, looked_at(of, batches))
        )
    forward, teach = method.forward, Teacher.forward

    def judge(self: Any, images: torch.Tensor) -> Any:
        seen.setdefault("judge", set()).add(on_phantom(images))
        return forward(self, images)

    def features(self: Teacher, images: torch.Tensor) -> Any:
        # Steps without a cache run where Lightning is, which here is the CPU.
        if not self.training and not torch.is_grad_enabled():
            seen.setdefault("teacher", set()).add(on_phantom(images))
        return teach(self, images)

    monkeypatch.setattr(method, "forward", judge)
    monkeypatch.setattr(Teacher, "forward", features)

    def asked(device: str) -> tuple[str, int]:
        seen["steps"] = {device == NAME}
        return "cpu", 1

    monkeypatch.setattr(distributed, "lightning_device", asked)
    return seen


#: One of each kind of training, and of statistics alone; the others when slow tests run.
_ALWAYS = ("rd", "logicrd", "patchcore", "radar", "trio")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in _ALWAYS else pytest.mark.slow) for n in names()]
)
def test_every_stage_is_on_the_device_asked_for(
    name: str, phantom: PhantomDevice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = watched(monkeypatch, name)
    monkeypatch.setitem(NETWORKS, "small", TINY_RADAR)
    trained = issubclass(method_class(name).config_class, TrainedConfig)
    with known_by_name():  # each tensor is looked at in Python: the real teacher's in one of them
        detector = Detector(
            name,
            image_size=64,
            teacher=None if name == "trio" else "tiny-three",
            teacher_weights="random",
            settings={
                **({"steps": 2, "batch_size": 2} if trained else {}),
                **(BRIEF_RADAR if name == "radar" else {}),
            },
        )
        detector.fit(parts(), training=TrainingOptions(device=NAME), progress=QUIET)
        detector.evaluate(parts(), progress=QUIET)
        assert detector.calibration is not None
        assert all(found == {True} for found in seen.values()), seen
        assert "judge" in seen
        assert ("steps" in seen) == trained
        detector.save(tmp_path / "m.blemish")
        opened = Detector.load(tmp_path / "m.blemish", device=NAME)
    before, after = (
        [p.score for p in m.predict(np.zeros((2, 64, 64, 3), np.uint8))] for m in (detector, opened)
    )
    assert before == pytest.approx(after, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cuda", "finds no GPU.*--device cpu"),
        ("cuda:1", "cuda:1 was asked.*finds no GPU"),
        ("mps", "no GPU of Apple's"),
        ("gpu", "'gpu'"),
        ("cuda:", "'cuda:'"),
    ],
)
def test_a_device_that_is_not_there_is_said(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        devices.resolve_device(name)


def test_a_gpu_beyond_those_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 2)
    monkeypatch.setattr(devices, "torch", SimpleNamespace(cuda=cuda))
    assert devices.resolve_device("cuda:1") == "cuda:1"
    assert devices.resolve_device("auto") == "cuda"
    with pytest.raises(ConfigError, match=r"2 GPUs, cuda:0 to cuda:1"):
        devices.resolve_device("cuda:2")
    assert devices.lightning_device("cuda:1") == ("cuda", [1])
