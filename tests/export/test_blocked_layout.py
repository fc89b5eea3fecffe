"""Rewritten graphs: the same numbers, other operators, and nothing that only looks alike."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from numpy.typing import NDArray

from blemish.export.blocked_layout import keep_blocked_layout
from blemish.export.quantise import kept_convolutions

COSINE = """
    <ir_version: 9, opset_import: ["" : 20]>
    made (float[N, 3, 4, 5] f, float[N, 3, 4, 5] s) => (float[N, 4, 5] out)
    <int64[1] axes = {1}, float low = {1.0e-6},
     float[N, 3, 4, 5] product>
    {
        f_norm = ReduceL2 <keepdims: int = 1> (f, axes)
        s_norm = ReduceL2 <keepdims: int = 1> (s, axes)
        f_bound = Clip (f_norm, low)
        s_bound = Clip (s_norm, low)
        f_unit = Div (f, f_bound)
        s_unit = Div (s, s_bound)
        product = Mul (f_unit, s_unit)
        out = ReduceSum <keepdims: int = 0> (product, axes)
    }
"""
AFFINE = """
    <ir_version: 9, opset_import: ["" : 20]>
    made (float[N, 3, 4, 5] f, float[N, 3, 4, 5] s) => (float[N, 3, 4, 5] out)
    <float[1, 3, 1, 1] mean = {1.0, 2.0, 3.0}, float[1, 3, 1, 1] scale = {0.5, 2.0, -1.0},
     float[N, 3, 4, 5] both>
    {
        both = Add (f, s)
        centred = Sub (both, mean)
        out = Mul (centred, scale)
    }
"""


def run(model: onnx.ModelProto) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    f, s = rng.normal(size=(2, 2, 3, 4, 5)).astype(np.float32)
    f[0, :, 0, 0] = 0  # a vector without direction: the bound decides
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"f": f, "s": s})[0])


def operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        pytest.param(COSINE, {"ReduceL2", "ReduceSum"}, id="cosine"),
        pytest.param(
            COSINE.replace("float[N, 4, 5] out", "float[N, 1, 4, 5] out").replace(
                "ReduceSum <keepdims: int = 0>", "ReduceSum <keepdims: int = 1>"
            ),
            {"ReduceL2", "ReduceSum"},
            id="cosine that keeps its channel",
        ),
        pytest.param(AFFINE, {"Sub", "Mul"}, id="affine"),
    ],
)
def test_the_numbers_stay(text: str, gone: set[str]) -> None:
    model = onnx.parser.parse_model(text)
    before, asked = run(model), operators(model)
    assert keep_blocked_layout(model) == 1
    onnx.checker.check_model(model)
    assert gone <= asked
    left = operators(model)
    assert "Conv" in left
    assert left.isdisjoint({"ReduceL2", "ReduceSum", "Sub"})
    np.testing.assert_allclose(run(model), before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (COSINE, "Div (f, f_bound)", "Div (f, s_bound)"),  # by the other one's norm
        (COSINE, "axes = {1}", "axes = {2}"),  # along a column
        (COSINE, "Div (s, s_bound)", "Add (s, s_bound)"),
        (AFFINE, "Sub (both, mean)", "Sub (mean, both)"),
        (AFFINE, "Mul (centred, scale)", "Mul (centred, f)"),
        (
            AFFINE,
            "float[N, 3, 4, 5] f, float[N, 3, 4, 5] s)",
            "float[N, 1, 4, 5] f, float[N, 1, 4, 5] s)",
        ),
    ],
)
def test_what_only_looks_alike_is_left_alone(text: str, old: str, new: str) -> None:
    assert old in text
    text = text.replace(old, new)
    if "{2}" in new:
        text = text.replace("float[N, 4, 5] out", "float[N, 3, 5] out")
    if "float[N, 1, 4, 5] f" in new:  # the mean has more channels than what it is taken from
        text = text.replace("float[N, 3, 4, 5] both", "float[N, 1, 4, 5] both")
    model = onnx.parser.parse_model(text)
    before = model.SerializeToString()
    assert keep_blocked_layout(model) == 0
    assert model.SerializeToString() == before


@pytest.mark.parametrize("text", [COSINE, AFFINE])
def test_what_brings_features_to_one_scale_and_compares_them_is_not_quantised(text: str) -> None:
    model = onnx.parser.parse_model(text)
    keep_blocked_layout(model)
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions
    assert kept_convolutions(model) == convolutions
