"""Execution providers: chosen by name or of themselves, compared with the CPU, never in silence.

The builds of ONNX Runtime that have accelerators need their hardware. Here a build pretends to have
some: its sessions are the CPU's own, whose outputs can be made to differ or to fail.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from blemish import open_model
from blemish.errors import ConfigError
from blemish.runtime.networks import OnnxNetwork
from blemish.runtime.providers import PROVIDERS, candidates, largest_difference

REAL = onnxruntime.InferenceSession


class Pretending:
    """A build that has ``names`` besides the CPU; ``factors`` change their outputs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str, **factors: float) -> None:
        self.longs = [PROVIDERS[name][0] for name in names]
        self.factors = {PROVIDERS[name][0]: factor for name, factor in factors.items()}
        self.dead: set[str] = set()
        self.batches: list[int] = []
        there = [*self.longs, "CPUExecutionProvider"]
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
        monkeypatch.setattr(onnxruntime, "InferenceSession", self.session)

    def session(self, graph: bytes, options: Any, *, providers: list[Any]) -> Any:
        cpu = REAL(graph, options, providers=["CPUExecutionProvider"])
        asked = [p[0] for p in providers if isinstance(p, tuple)]
        if not asked:
            return cpu
        build = self
        long = "CPUExecutionProvider" if asked[0] in self.dead else asked[0]

        class Session:
            def get_providers(self) -> list[str]:
                return [long, "CPUExecutionProvider"]

            def get_inputs(self) -> Any:
                return cpu.get_inputs()

            def get_outputs(self) -> Any:
                return cpu.get_outputs()

            def run(self, names: list[str], given: dict[str, Any]) -> list[Any]:
                build.batches.append(len(given["pixels"]))
                factor = np.float32(build.factors.get(long, 1.0))
                return [value * factor for value in cpu.run(names, given)]

        return Session()


def network(path: Path, **how: Any) -> OnnxNetwork:
    found = open_model(path, **how).ready()[0]
    assert isinstance(found, OnnxNetwork)
    return found


def test_the_cpu_alone_needs_no_word(exported_file: Path) -> None:
    for provider in ("auto", "cpu"):
        opened = open_model(exported_file, provider=provider)
        assert opened.said == []
        assert network(exported_file, provider=provider).passes.provider == "cpu"


def test_what_is_missing_or_misspelt_is_one_sentence(exported_file: Path) -> None:
    with pytest.raises(ConfigError, match="pip install onnxruntime-gpu") as refused:
        open_model(exported_file, provider="cuda")
    assert "has cpu" in str(refused.value)
    with pytest.raises(ConfigError, match="Did you mean 'cuda'"):
        open_model(exported_file, provider="cudo")


def test_an_accelerator_is_chosen_and_said(
    exported_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = network(exported_file, threads=1)
    build = Pretending(monkeypatch, "tensorrt", "cuda", cuda=1.0001)
    assert candidates("auto") == ("cuda",)  # TensorRT only by name
    there = network(exported_file, threads=2)
    assert there.passes.provider == "cuda"
    assert there.said.startswith("Judged by cuda: on 2 pictures")
    pixels = np.random.default_rng(1).integers(0, 256, (40, 64, 64, 3)).astype(np.uint8)
    build.batches.clear()
    found = there(pixels)
    assert build.batches == [32, 8]
    np.testing.assert_allclose(found.scores, here(pixels).scores, rtol=1e-3)


@pytest.mark.parametrize("factor", [1.01, float("nan")])
def test_other_outputs_than_the_cpus_are_not_judged_by(
    exported_file: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    Pretending(monkeypatch, "cuda", cuda=factor)
    with pytest.raises(ConfigError, match="gives other outputs than the CPU"):
        open_model(exported_file, provider="cuda")
    passed_over = network(exported_file)
    assert passed_over.passes.provider == "cpu"
    assert passed_over.said.endswith("The CPU judges.")


def test_the_next_one_is_tried(exported_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Pretending(monkeypatch, "cuda", "openvino", cuda=2.0)
    assert network(exported_file).passes.provider == "openvino"


def test_libraries_that_are_missing_are_noticed(
    exported_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Pretending(monkeypatch, "cuda")
    build.dead.add("CUDAExecutionProvider")  # ONNX Runtime goes on with the CPU in silence
    with pytest.raises(ConfigError, match="libraries or a device are missing"):
        open_model(exported_file, provider="cuda")
    assert "The CPU judges" in network(exported_file).said


def test_a_trained_model_has_devices_and_no_providers(model_file: Path) -> None:
    with pytest.raises(ConfigError, match="there it is --device"):
        open_model(model_file, provider="cuda")


def test_differences_are_relative_to_each_output() -> None:
    assert largest_difference([[1.0, 100.0], [5]], [[1.0, 101.0], [5]]) == pytest.approx(1 / 101)
    assert largest_difference([[np.nan]], [[1.0]]) == np.inf
    assert largest_difference([[1.0, 2.0]], [[1.0]]) == np.inf
    assert largest_difference([[0.0]], [[0.0]]) == 0
