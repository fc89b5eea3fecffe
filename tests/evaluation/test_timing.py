"""What ``blemish latency`` measures: stages that are the real ones, medians, and the floor."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

import blemish.evaluation.timing
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.errors import ConfigError, ImageError
from blemish.evaluation.timing import STAGES, Spread, measure, peak_memory_mib, teacher_alone
from blemish.inspection.network import Network, NetworkOutput
from blemish.inspector import Inspector, open_model


class Clock:
    """The time that the stages below say they took, and nothing else."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class Timed(Inspector):
    """Takes 8 ms to scale a picture, 4 ms for each in the network."""

    calibration, products, branch_names, recognises = None, (), (), False  # type: ignore[assignment]

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.batches: list[int] = []

    def save(self, path: Any) -> None:
        raise NotImplementedError

    def ready(self) -> tuple[Network, Preprocessing]:
        clock, batches = self.clock, self.batches

        class Slow(Preprocessing):
            def prepare(self, image: Any, product: str = "", **named: Any) -> Any:
                clock.pass_by(0.008)
                return super().prepare(image, product, **named)

        def network(pixels: Any) -> NetworkOutput:
            batches.append(len(pixels))
            clock.pass_by(0.004 * len(pixels))
            maps = pixels.mean(3, dtype=np.float32)
            return NetworkOutput(maps, maps.max((1, 2)).astype(np.float64), {})

        return network, Slow(32, 32)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(blemish.evaluation.timing, "time", clock)
    return clock


@pytest.fixture
def picture(tmp_path: Path) -> Sample:
    Image.new("RGB", (64, 48), (9, 90, 200)).save(tmp_path / "a.png")
    return Sample(tmp_path / "a.png", "", "test", None)


def test_each_stage_gets_its_own_time(clock: Clock, picture: Sample) -> None:
    seen: list[tuple[int, ...]] = []

    def floor(pixels: Any) -> None:
        seen.append(pixels.shape)
        clock.pass_by(0.006)

    model = Timed(clock)
    found = measure(model, [picture], seconds=1.8, batch_size=2, make_floor=lambda: floor)
    assert {name: spread.p50 for name, spread in found.stages.items()} == pytest.approx(
        {"decode": 0, "preprocess": 8, "network": 4, "post": 0}, abs=1e-6
    )
    assert (found.total.p50, found.after_decoding.p95) == pytest.approx((12, 12))
    assert found.floor is not None
    assert (found.floor.p50, found.ratio) == pytest.approx((6, 2))
    assert set(seen) == {(1, 32, 32, 3)}
    # 18 ms each with the floor: a hundred, of which the first three warm up.
    assert found.total.n == found.floor.n == pytest.approx(97, abs=1)
    # This clock has no two things at once: 12 ms each, and a few that were decoded ahead.
    assert found.images_per_second == pytest.approx(1 / 0.012, rel=0.1)
    assert found.images == pytest.approx(150, abs=8)
    assert set(model.batches) == {1, 2}
    assert model.batches.count(2) * 2 >= found.images


def test_the_floor_comes_after_the_memory_was_measured(clock: Clock, picture: Sample) -> None:
    held = []

    def make_floor() -> None:
        held.append(np.ones(200 * 2**20, np.uint8))

    before = peak_memory_mib()
    found = measure(Timed(clock), [picture], seconds=0.1, make_floor=make_floor)
    if before is None or found.peak_memory_mib is None:
        pytest.skip("this system does not say")
    assert found.peak_memory_mib < before + 100
    assert (found.floor, found.ratio) == (None, None)


def test_percentiles_are_those_of_the_times() -> None:
    spread = Spread.of([i / 1e3 for i in range(101)])
    assert (spread.p50, spread.p95, spread.p99, spread.n) == pytest.approx((50, 95, 99, 101))


def test_nothing_to_measure_and_broken_pictures_are_said(picture: Sample, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 pictures"):
        measure(Timed(Clock()), [])
    (tmp_path / "b.png").write_text("no image")
    with pytest.raises(ImageError, match=r"b\.png"):
        measure(Timed(Clock()), [Sample(tmp_path / "b.png", "", "test", None)])


def test_the_peak_grows_with_what_is_held() -> None:
    before = peak_memory_mib()
    if before is None:
        pytest.skip("this system does not say")
    held = np.ones((300 * 2**20,), np.uint8)
    after = peak_memory_mib()
    assert after is not None
    assert after >= held.nbytes / 2**20
    del held
    assert (peak_memory_mib() or 0) >= after - 2  # a peak stays; the kernel counts in steps


def test_the_verb_prints_every_stage_and_the_floor(
    model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from blemish.cli.latency import latency

    latency(model_file, None, 0.3, 2, None, False, "cpu", quiet=True)
    out = capsys.readouterr().out
    for words in (*STAGES, "total", "floor", "× the floor", "pictures/s", "Peak memory"):
        assert words in out
    latency(model_file, None, 0.3, 2, None, True, "cpu", quiet=True)
    content = json.loads(capsys.readouterr().out)
    assert content["runtime"] == "PyTorch"
    assert content["floor"]["p50"] > 0
    assert content["ratio_to_floor"] == pytest.approx(
        content["after_decoding"]["p50"] / content["floor"]["p50"]
    )
    assert content["environment"]["cores"] >= 1


@pytest.mark.slow
def test_an_exported_models_floor_is_in_its_own_runtime(exported_file: Path) -> None:
    floor, said = teacher_alone(open_model(exported_file))
    assert floor is not None, said
    assert "ONNX Runtime" in said
    (level,) = floor(np.zeros((2, 64, 64, 3), np.uint8))  # type: ignore[misc]
    assert level.shape == (2, 112, 4, 4)


def test_the_floor_is_asked_for_by_teacher_and_size_and_run_as_the_model_is(
    exported_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above, with a graph that costs nothing to write in place of the teacher's."""
    asked: list[list[str]] = []

    def write(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(words[2:-1])
        shape = ["batch", "height", "width", 3]
        pixels = onnx.helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, shape)
        level = onnx.helper.make_tensor_value_info("level", onnx.TensorProto.FLOAT, shape)
        node = onnx.helper.make_node("Cast", ["pixels"], ["level"], to=onnx.TensorProto.FLOAT)
        graph = onnx.helper.make_graph([node], "teacher", [pixels], [level])
        opset = [onnx.helper.make_opsetid("", 18)]
        model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=9)
        Path(words[-1]).write_bytes(model.SerializeToString())
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(blemish.evaluation.timing.subprocess, "run", write)
    floor, said = teacher_alone(open_model(exported_file))
    assert floor is not None, said
    assert said == "efficientnet_lite0 alone (random weights, float32), in ONNX Runtime"
    assert asked == [["blemish.evaluation.timing", "efficientnet_lite0", "64", "64"]]
    (level,) = floor(np.full((5, 64, 64, 3), 7, np.uint8))  # type: ignore[misc]
    assert level.shape == (5, 64, 64, 3)
    assert level.min() == level.max() == 7


def test_why_there_is_no_floor_is_said(
    exported_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(words, 1, "", "Traceback\nNo module named 'torch'\n")

    monkeypatch.setattr(blemish.evaluation.timing.subprocess, "run", fail)
    floor, said = teacher_alone(open_model(exported_file))
    assert floor is None
    assert "blemish[train,export] (No module named 'torch')" in said
