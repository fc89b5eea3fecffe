"""Resizing, summing and smoothing of maps as two small matrix products.

A bilinear resize and a Gaussian filter are both linear and separable: whatever a method does with
them to a one-channel map ``X (h, w)`` is ``Σ_l A_l X_l B_lᵀ`` with constant matrices. Step by step
the graph would resize every level to the input size and filter there with 33 taps twice, through
operators made for many channels; the products touch each level once, at its own small size. The
result is the same to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blemish.export.constants import drop_unused

if TYPE_CHECKING:
    from collections.abc import Callable

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Term:
    """``rows @ source @ columns.T`` of one tensor ``(N, 1, h, w)``."""

    source: str
    rows: Matrix  # (H, h)
    columns: Matrix  # (W, w)

    def then(self, rows: Matrix, columns: Matrix) -> Term:
        return Term(self.source, rows @ self.rows, columns @ self.columns)


def fuse_linear_maps(model: Any) -> int:
    """Replace chains of linear operators on one-channel maps in an ONNX model, in place.

    Chains without a filter are left alone: a resize by itself is cheap.

    Returns:
        Number of tensors that are now matrix products.

    Example: see :func:`blemish.export.graph.onnx_graph`.
    """
    from onnx import helper

    graph = model.graph
    reader = _Reader(graph)
    filtered: set[str] = set()
    for node in graph.node:
        reader.read(node)
        if node.op_type == "Conv" and node.output[0] in reader.forms:
            filtered.add(node.output[0])
    # What is still asked for by an operator that is not part of a chain.
    asked = {output.name for output in graph.output}
    for node in graph.node:
        if node.output[0] not in reader.forms:
            asked.update(node.input)
    targets = [name for name in reader.forms if name in asked and name in filtered]
    for name in targets:
        position, node = next(
            (i, n) for i, n in enumerate(graph.node) if n.output and n.output[0] == name
        )
        made = _products(name, reader.forms[name], graph, helper)
        graph.node.remove(node)
        for offset, product in enumerate(made):
            graph.node.insert(position + offset, product)
    if targets:
        drop_unused(graph)
    return len(targets)


def _products(name: str, terms: list[Term], graph: Any, helper: Any) -> list[Any]:
    """The nodes that compute ``name``, their constants added to the graph."""

    def constant(key: str, value: Matrix) -> str:
        values = np.ascontiguousarray(value, np.float32)
        full = f"{name}.{key}"
        graph.initializer.append(
            helper.make_tensor(full, 1, values.shape, values.tobytes(), raw=True)
        )
        return full

    nodes, parts = [], []
    for number, term in enumerate(terms):
        part = f"{name}.part{number}"  # (N, 1, H, w)
        rows = constant(f"rows{number}", term.rows)
        nodes.append(helper.make_node("MatMul", [rows, term.source], [part], name=part))
        parts.append(part)
    if len(parts) > 1:
        beside = f"{name}.parts"  # (N, 1, H, Σ w)
        nodes.append(helper.make_node("Concat", parts, [beside], name=beside, axis=3))
        parts = [beside]
    columns = constant("columns", np.concatenate([term.columns for term in terms], axis=1).T)
    nodes.append(helper.make_node("MatMul", [parts[0], columns], [name], name=f"{name}.product"))
    return nodes


class _Reader:
    """Follows linear forms through a graph.

    Attributes:
        forms: The terms of every tensor that is a linear form of others.
    """

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self.constants = {t.name: t for t in graph.initializer}
        self.value: Callable[[str], NDArray] = lambda name: numpy_helper.to_array(
            self.constants[name]
        )
        self.shapes = {
            v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
            for v in (*graph.value_info, *graph.output, *graph.input)
        }
        self.forms: dict[str, list[Term]] = {}

    def read(self, node: Any) -> None:
        """Note the form of a node's output, if it has one."""
        size = self._size(node.output[0]) if node.output else None
        if size is None or self._size(node.input[0]) is None:
            return
        attributes = {a.name: a for a in node.attribute}
        terms: list[Term] | None = None
        if node.op_type == "Add":
            if all(self._size(name) == size for name in node.input):
                terms = self._terms(node.input[0]) + self._terms(node.input[1])
        elif node.op_type == "Resize":
            terms = self._resized(node.input[0], size, attributes)
        elif node.op_type == "Pad":
            terms = self._padded(node, attributes)
        elif node.op_type == "Conv":
            terms = self._filtered(node, attributes)
        if terms is not None:
            self.forms[node.output[0]] = terms

    def _size(self, name: str) -> tuple[int, int] | None:
        """``(H, W)`` of a one-channel map, ``None`` of any other tensor."""
        shape = self.shapes.get(name, ())
        known = len(shape) == 4 and shape[1] == 1 and shape[2] > 0 and shape[3] > 0
        return (shape[2], shape[3]) if known and name not in self.constants else None

    def _terms(self, name: str) -> list[Term]:
        if name in self.forms:
            return self.forms[name]
        size = self._size(name)
        assert size is not None  # read() asked
        return [Term(name, np.eye(size[0]), np.eye(size[1]))]

    def _resized(
        self, name: str, size: tuple[int, int], attributes: dict[str, Any]
    ) -> list[Term] | None:
        def text(key: str) -> bytes:
            return bytes(attributes[key].s) if key in attributes else b""

        if text("mode") != b"linear" or text("coordinate_transformation_mode") not in (
            b"half_pixel",
            b"pytorch_half_pixel",
        ):
            return None
        if "antialias" in attributes and attributes["antialias"].i:
            return None
        before = self._size(name)
        assert before is not None
        rows, columns = (bilinear(old, new) for old, new in zip(before, size, strict=True))
        return [term.then(rows, columns) for term in self._terms(name)]

    def _padded(self, node: Any, attributes: dict[str, Any]) -> list[Term] | None:
        if attributes["mode"].s != b"edge" or node.input[1] not in self.constants:
            return None
        pads = self.value(node.input[1]).tolist()
        size = self._size(node.input[0])
        if len(pads) != 8 or any(pads[i] for i in (0, 1, 4, 5)) or min(pads) < 0 or size is None:
            return None
        rows, columns = (
            np.eye(n)[np.clip(np.arange(-before, n + after), 0, n - 1)]
            for n, before, after in ((size[0], pads[2], pads[6]), (size[1], pads[3], pads[7]))
        )
        return [term.then(rows, columns) for term in self._terms(node.input[0])]

    def _filtered(self, node: Any, attributes: dict[str, Any]) -> list[Term] | None:
        if len(node.input) != 2 or node.input[1] not in self.constants:
            return None
        kernel = self.value(node.input[1]).astype(np.float64)  # (1, 1, K, 1) or (1, 1, 1, K)
        plain = all(
            all(value == neutral for value in attributes[key].ints)
            for key, neutral in (("pads", 0), ("strides", 1), ("dilations", 1))
            if key in attributes
        )
        if not plain or kernel.shape[:2] != (1, 1) or 1 not in kernel.shape[2:]:
            return None
        before, after = self._size(node.input[0]), self._size(node.output[0])
        assert before is not None
        assert after is not None
        rows, columns = np.eye(before[0]), np.eye(before[1])
        if kernel.shape[2] > 1:
            rows = _sliding(kernel[0, 0, :, 0], before[0], after[0])
        else:
            columns = _sliding(kernel[0, 0, 0], before[1], after[1])
        if rows.shape[0] != after[0] or columns.shape[0] != after[1]:
            return None
        return [term.then(rows, columns) for term in self._terms(node.input[0])]


def bilinear(old: int, new: int) -> Matrix:
    """The matrix ``(new, old)`` of a bilinear resize along one axis, pixel centres at halves.

    Example:
        >>> from blemish.export.linear_maps import bilinear
        >>> bilinear(2, 4).tolist()
        [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)  # (new,)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, old - 1)
    share = (at - low)[:, None]
    return (1 - share) * np.eye(old)[low] + share * np.eye(old)[high]


def _sliding(kernel: NDArray[np.float64], before: int, after: int) -> Matrix:
    """The matrix ``(after, before)`` of a correlation with ``kernel``, without padding."""
    matrix = np.zeros((after, before))
    for tap, weight in enumerate(kernel):
        matrix[np.arange(after), np.arange(after) + tap] += weight
    return matrix
