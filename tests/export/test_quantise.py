"""Eight bits where something was learned, and the teacher's features untouched elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import torch
from building import build_method
from numpy.typing import NDArray
from PIL import Image
from small_teachers import small_teacher

from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.export.graph import onnx_graph
from blemish.export.quantise import kept_convolutions, part_inputs, quantise

SIDE = 64
KINDS = """
    <ir_version: 9, opset_import: ["" : 20]>
    made (float[N, 2, 4, 4] f) => (float[N, 1, 4, 4] out)
    <float[2, 2, 1, 1] teacher = {1.0, 2.0, 3.0, 4.0},
     float[2, 2, 1, 1] student = {1.0, 0.0, 0.0, 1.0},
     float[1, 2, 1, 1] gates = {1.0, 1.0},
     float[1, 1, 1, 1] kernel = {1.0}>
    {
        level = Conv (f, teacher)
        learned = Conv (level, student)
        gate = Conv (learned, gates)
        out = Conv (gate, kernel)
    }
"""
SHARED = """
    <ir_version: 9, opset_import: ["" : 20]>
    made (float[N, 2, 4, 4] f) => (float[N, 2, 4, 4] learned, float[N, 2, 4, 4] plain)
    <float[2, 2, 1, 1] first = {1.0, 2.0, 3.0, 4.0},
     float[2, 2, 1, 1] second = {1.0, 0.0, 0.0, 1.0}>
    {
        level = Relu (f)
        learned = Conv (level, first)
        plain = Conv (level, second)
    }
"""


def test_the_teacher_and_what_makes_one_channel_stay_in_float32() -> None:
    model = onnx.parser.parse_model(KINDS)
    model.graph.initializer[0].name = "method.teacher.trunk.weight"
    model.graph.node[0].input[1] = "method.teacher.trunk.weight"
    for node in model.graph.node:
        node.name = node.output[0]
    assert kept_convolutions(model) == ["level", "gate", "out"]


def test_an_input_is_doubled_only_where_others_read_it_too() -> None:
    model = onnx.parser.parse_model(SHARED)
    for node in model.graph.node:
        node.name = node.output[0]
    assert part_inputs(model, []) == 0  # both are rounded, together
    assert part_inputs(model, ["plain"]) == 1
    onnx.checker.check_model(model, full_check=True)
    inputs = {node.name: node.input[0] for node in model.graph.node}
    assert (inputs["learned"], inputs["plain"]) == ("level.rounded", "level")


def test_what_is_not_quantised_sees_the_features_as_they_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = {"semantics": False, "compensation": False, "regions": 1}
    method = build_method("logicrd", plain, small_teacher("tiny-three"), (SIDE, SIDE)).eval()
    pictures = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3)).astype(np.uint8)
    samples = []
    for number, picture in enumerate(pictures):
        path = tmp_path / f"{number}.png"
        Image.fromarray(picture).save(path)
        samples.append(Sample(path, "part", "train", 0))
    graph = onnx_graph(method)
    small = quantise(graph, Preprocessing(SIDE, SIDE), samples)
    before, after = outputs(graph, pictures), outputs(small, pictures)
    # The logical branch is distances of the teacher's features, in which nothing was learned.
    np.testing.assert_allclose(after["branch_logical"], before["branch_logical"], rtol=1e-5)
    assert not np.allclose(after["anomaly_map"], before["anomaly_map"], rtol=1e-5)


def outputs(graph: bytes, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))
