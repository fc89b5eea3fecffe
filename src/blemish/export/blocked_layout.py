"""Rewrites that let a runtime stay in the layout in which it convolves.

CPU runtimes keep features in blocks of channels between convolutions and leave that layout for
operators that do not know it. Two patterns of reconstruction methods make them: an affine map per
channel, which is a depthwise 1×1 convolution, and a cosine over channels. A cosine needs the sums
over channels of ``f·s``, ``f²`` and ``s²``, which are 1×1 convolutions with ones; the one division
left is of single-channel maps. Results are the same to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from blemish.export.constants import drop_unused


def keep_blocked_layout(model: Any) -> int:
    """Rewrite affine maps per channel and cosines over channels in an ONNX model, in place.

    Returns:
        Number of patterns rewritten.

    Example: see :func:`blemish.export.graph.onnx_graph`.
    """
    graph = _Graph(model.graph)
    # The list is a copy: rewriting changes the graph's own.
    count = sum(_affine(graph, node) or _cosine(graph, node) for node in list(graph.graph.node))
    if count:
        drop_unused(graph.graph)
    return count


class _Graph:
    """A graph with what a rewrite looks up in it.

    Attributes:
        graph: ONNX's own.
        made_by: The node that makes each tensor.
    """

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.made_by = {name: node for node in graph.node for name in node.output}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._types = {v.name: v.type.tensor_type for v in (*graph.value_info, *graph.input)}

    def node(self, name: str, kind: str) -> Any:
        """The node of this kind that makes a tensor, ``None`` if another one does."""
        node = self.made_by.get(name)
        return node if node is not None and node.op_type == kind else None

    def constant(self, name: str) -> np.ndarray | None:
        from onnx import numpy_helper

        tensor = self._constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def per_channel(self, name: str) -> np.ndarray | None:
        """The values ``(C,)`` of a constant ``(1, C, 1, 1)`` or ``(C, 1, 1)``, else ``None``."""
        value = self.constant(name)
        if value is None or value.ndim not in (3, 4) or value.shape[-2:] != (1, 1):
            return None
        return value.ravel() if value.size == value.shape[-3] > 1 else None

    def channels(self, name: str) -> int:
        """Channels of float32 features ``(N, C, H, W)``; 0 of any other tensor."""
        kind = self._types.get(name)
        if kind is None or kind.elem_type != 1 or len(kind.shape.dim) != 4:
            return 0
        return int(kind.shape.dim[1].dim_value)

    def add(self, name: str, value: np.ndarray) -> str:
        """Add a constant under a name, once."""
        from onnx import numpy_helper

        if name not in self._constants:
            tensor = numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name)
            self._constants[name] = tensor
            self.graph.initializer.append(tensor)
        return name

    def replace(self, node: Any, others: Sequence[Any]) -> None:
        """Put nodes in the place of one; what it was computed from stays until nobody asks."""
        position = next(i for i, other in enumerate(self.graph.node) if other is node)
        del self.graph.node[position]
        for offset, other in enumerate(others):
            self.graph.node.insert(position + offset, other)


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, inputs, [output], name=output, **attributes)


def _affine(graph: _Graph, node: Any) -> bool:
    """``(x − mean) · scale`` with a mean and a scale per channel."""
    if node.op_type != "Mul":
        return False
    centred, scale = graph.node(node.input[0], "Sub"), graph.per_channel(node.input[1])
    mean = None if centred is None else graph.per_channel(centred.input[1])
    if mean is None or scale is None or len(mean) != len(scale):
        return False
    if graph.channels(centred.input[0]) != len(scale):  # broadcast, or no features
        return False
    out = node.output[0]
    weight = graph.add(f"{out}.weight", scale.reshape(-1, 1, 1, 1))
    bias = graph.add(f"{out}.bias", -mean * scale)
    inputs = (centred.input[0], weight, bias)
    graph.replace(node, [_node("Conv", inputs, out, group=len(scale), kernel_shape=[1, 1])])
    return True


def _cosine(graph: _Graph, node: Any) -> bool:
    """``Σ (f / max(|f|, ε)) · (s / max(|s|, ε))`` over channels."""
    if not _over_channels(graph, node, "ReduceSum"):
        return False
    product = graph.node(node.input[0], "Mul")
    sides = [] if product is None else [graph.node(name, "Div") for name in product.input]
    if len(sides) != 2 or None in sides:
        return False
    channels = graph.channels(sides[0].input[0])
    if not channels or channels != graph.channels(sides[1].input[0]):
        return False
    bounds = [_bounded_norm(graph, side) for side in sides]
    if None in bounds:
        return False
    out = node.output[0]
    ones = graph.add(f"ones{channels}", np.ones((1, channels, 1, 1)))
    nodes = []

    def summed(a: str, b: str, name: str) -> str:
        nodes.append(_node("Mul", (a, b), f"{out}.{name}_terms"))
        nodes.append(_node("Conv", (f"{out}.{name}_terms", ones), f"{out}.{name}"))
        return f"{out}.{name}"

    inner = summed(sides[0].input[0], sides[1].input[0], "inner")
    lengths = []
    for key, side, bound in zip("fs", sides, bounds, strict=True):
        square = summed(side.input[0], side.input[0], f"square_{key}")
        nodes.append(_node("Sqrt", (square,), f"{out}.length_{key}"))
        lengths.append(f"{out}.bounded_{key}")
        nodes.append(_node("Clip", (f"{out}.length_{key}", *bound.input[1:]), lengths[-1]))
    nodes.append(_node("Mul", lengths, f"{out}.lengths"))
    kept = _keeps_dims(node)
    nodes.append(_node("Div", (inner, f"{out}.lengths"), out if kept else f"{out}.cosine"))
    if not kept:
        nodes.append(_node("Squeeze", (f"{out}.cosine", node.input[1]), out))
    graph.replace(node, nodes)
    return True


def _bounded_norm(graph: _Graph, side: Any) -> Any:
    """The ``Clip`` of the norm by which ``side`` divides, if that is the norm of its own tensor."""
    bound = graph.node(side.input[1], "Clip")
    norm = None if bound is None else graph.node(bound.input[0], "ReduceL2")
    fits = (
        norm is not None
        and _over_channels(graph, norm, "ReduceL2")
        and _keeps_dims(norm)
        and norm.input[0] == side.input[0]
    )
    return bound if fits else None


def _over_channels(graph: _Graph, node: Any, kind: str) -> bool:
    if node.op_type != kind or len(node.input) != 2:
        return False
    axes = graph.constant(node.input[1])
    return axes is not None and axes.tolist() == [1]


def _keeps_dims(node: Any) -> bool:
    return all(attribute.i == 1 for attribute in node.attribute if attribute.name == "keepdims")
