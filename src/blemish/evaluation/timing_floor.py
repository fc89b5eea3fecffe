"""Latency floor: the model's teacher alone, in the runtime that runs the model.

No method on this teacher can be faster than it. An exported model holds no teacher of its own, so
one of the same architecture is exported for the purpose, with random weights: the time of a
forward pass does not depend on them. That takes the training packages; it happens in a process of
its own, so that their memory is not counted as the model's.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blemish.evaluation.timing import Floor
from blemish.runtime.networks import INPUT, OnnxNetwork, OnnxPasses, OpenVinoNetwork

if TYPE_CHECKING:
    from blemish.detector import Detector
    from blemish.inspector import Inspector

_LEVEL = "level"


def teacher_alone(model: Inspector) -> tuple[Floor | None, str]:
    """The floor of a trained or exported model, with a sentence on what it is or why it is not.

    It calls the teacher on pixels ``(N, H, W, 3)`` uint8 and waits for its deepest level.
    """
    network, preprocessing = model.ready()
    if isinstance(network, OnnxNetwork | OpenVinoNetwork) and model.manifest is not None:
        return _exported(model.manifest.teacher.name, preprocessing.size, network)
    return _trained(model)  # type: ignore[arg-type]


def _trained(detector: Detector) -> tuple[Floor | None, str]:
    import torch

    method = detector.method
    if method is None or not hasattr(method, "teacher") or not method.teacher.channels:
        return None, "This method has no teacher, and so no floor."
    teacher = method.teacher
    device = next(method.parameters()).device

    def floor(pixels: NDArray[np.uint8]) -> object:
        with torch.inference_mode():
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)
            return teacher(images)[-1].cpu()

    return floor, f"{teacher.name} alone, in PyTorch"


def _exported(
    name: str, size: tuple[int, int], network: OnnxNetwork | OpenVinoNetwork
) -> tuple[Floor | None, str]:
    if name == "none":
        return None, "This method has no teacher, and so no floor."
    height, width = size
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "teacher.onnx"
        words = [sys.executable, "-m", "blemish.evaluation.timing_floor"]
        words += [name, str(height), str(width), str(target)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if not target.is_file():
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            return None, (
                "No floor: building the teacher needs the packages of blemish[train,export] "
                f"({last})."
            )
        graph = target.read_bytes()
    alone = f"{name} alone (random weights, float32)"
    if isinstance(network, OpenVinoNetwork):
        return _in_openvino(graph, network), f"{alone}, in OpenVINO"
    passes = OnnxPasses(graph, network.passes.threads)  # cut and shared out as the model's own
    return lambda pixels: passes([_LEVEL], pixels), f"{alone}, in ONNX Runtime"


def _in_openvino(graph: bytes, network: OpenVinoNetwork) -> Floor:
    import openvino

    names = ("PERFORMANCE_HINT", "INFERENCE_NUM_THREADS", "INFERENCE_PRECISION_HINT")
    settings = {name: network.compiled.get_property(name) for name in names}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(graph), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda pixels: request.infer({INPUT: pixels})


def write_teacher(name: str, size: tuple[int, int], target: Path) -> None:
    """Export a teacher of random weights, from pixels ``(H, W)`` to its deepest level, as ONNX."""
    import torch
    from torch import Tensor, nn

    from blemish.teachers.teacher import build_teacher

    class Alone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.teacher = build_teacher(name, weights="random")

        def forward(self, pixels: Tensor) -> Tensor:
            return self.teacher(pixels.permute(0, 3, 1, 2))[-1]

    example = torch.zeros((2, *size, 3), dtype=torch.uint8)
    program = torch.onnx.export(
        Alone().eval().requires_grad_(False),
        (example,),
        dynamo=True,
        input_names=[INPUT],
        output_names=[_LEVEL],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    assert program is not None  # with dynamo it is given
    target.write_bytes(program.model_proto.SerializeToString())


if __name__ == "__main__":
    write_teacher(sys.argv[1], (int(sys.argv[2]), int(sys.argv[3])), Path(sys.argv[4]))
