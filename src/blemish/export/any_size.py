"""Letterbox inside the graph: a picture of any size goes in, its map at that size comes out.

The resampling is Pillow's, as :mod:`blemish.data.images.preprocess` uses it, written as matrix
products: the bicubic filter that widens with the scale, columns before rows, rounded to whole
values in between. No runtime's own resize operator is used, because they differ: OpenVINO leaves
out the antialiasing that ONNX asks for. A picture that has the model's input size already comes
through unchanged, so that such a graph takes all that the other takes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from blemish.data.images.preprocess import Preprocessing
from blemish.errors import ConfigError
from blemish.runtime.networks import INPUT, MAP

_FLOAT, _UINT8, _DOUBLE = 1, 2, 11
_LETTERBOXED, _MAP_OF_INPUT = "any_size.letterboxed", "any_size.map"


_Operand: TypeAlias = "_Value | float | NDArray[Any]"


class _Value:
    """A tensor of the graph that is being written; arithmetic on it writes nodes."""

    def __init__(self, nodes: _Nodes, name: str) -> None:
        self.nodes, self.name = nodes, name

    def __add__(self, other: _Operand) -> _Value:
        return self.nodes("Add", self, other)

    def __sub__(self, other: _Operand) -> _Value:
        return self.nodes("Sub", self, other)

    def __mul__(self, other: _Operand) -> _Value:
        return self.nodes("Mul", self, other)

    def __truediv__(self, other: _Operand) -> _Value:
        return self.nodes("Div", self, other)

    def __matmul__(self, other: _Value) -> _Value:
        return self.nodes("MatMul", self, other)

    def __lt__(self, other: _Operand) -> _Value:
        return self.nodes("Less", self, other)

    def __or__(self, other: _Value) -> _Value:
        return self.nodes("Or", self, other)


class _Nodes(list[Any]):
    """Nodes in the order in which they run; a call writes one and gives its output."""

    def __call__(self, op: str, *inputs: _Operand, output: str = "", **attributes: Any) -> _Value:
        from onnx import helper, numpy_helper

        names = []
        for given in inputs:
            if not isinstance(given, _Value):
                array = given if isinstance(given, np.ndarray) else np.array(given, np.float64)
                constant = f"any_size.{len(self)}"
                value = numpy_helper.from_array(array)
                self.append(helper.make_node("Constant", [], [constant], value=value))
                given = _Value(self, constant)
            names.append(given.name)
        output = output or f"any_size.{len(self)}"
        self.append(helper.make_node(op, names, [output], **attributes))
        return _Value(self, output)


class _Side:
    """Rows or columns of the picture and of the input, and where the one lies in the other."""

    def __init__(self, size: _Value, placed: _Value, first: _Value, box: int) -> None:
        self.nodes, self.size, self.placed = size.nodes, size, placed
        nodes = self.nodes
        self.of_picture = nodes("Range", 0.0, size, 1.0)
        self.of_input = nodes("Range", 0.0, float(box), 1.0) - first
        self.around = (self.of_input < 0.0) | nodes("Not", self.of_input < placed)

    def _distances(self, new: _Value, old: _Value, scale: _Value) -> _Value:
        """Of the new pixels' centres, a row each, from the old ones', in units of the filter."""
        centres = _column(new + 0.5) * scale
        return self.nodes("Abs", (old + 0.5 - centres) / self.nodes("Max", scale, 1.0))

    def shrink(self) -> _Value:
        """Weights of the picture's pixels in those of the input: bicubic with a = −1/2."""
        t = self._distances(self.of_input, self.of_picture, self.size / self.placed)
        near = (t * 1.5 - 2.5) * t * t + 1.0
        far = ((t * -0.5 + 2.5) * t - 4.0) * t + 2.0
        where = self.nodes
        weights = where("Where", t < 1.0, near, where("Where", t < 2.0, far, 0.0))
        return self._shares(where("Where", _column(self.around), 1.0, weights))

    def grow(self) -> _Value:
        """Weights of the input's map in that of the picture: bilinear."""
        t = self._distances(self.of_picture, self.of_input, self.placed / self.size)
        weights = self.nodes("Max", t * -1.0 + 1.0, 0.0)
        return self._shares(self.nodes("Where", self.around, 0.0, weights))

    def _shares(self, weights: _Value) -> _Value:
        total = self.nodes("ReduceSum", weights, np.array([1]), keepdims=1)
        return self.nodes("Cast", weights / total, to=_FLOAT)


def _column(row: _Value) -> _Value:
    return row.nodes("Unsqueeze", row, np.array([1]))


def check_any_size(preprocessing: Preprocessing) -> None:
    """Refuse what such a graph cannot do: :class:`ConfigError`."""
    if preprocessing.tiling is not None or preprocessing.roi is not None:
        what = "sees pictures in tiles" if preprocessing.tiling else "has a region of interest"
        raise ConfigError(
            f"This model {what}, which its graph cannot do by itself. Export it without --any-size "
            "and prepare pictures outside, as `blemish predict` does."
        )


def with_any_size(graph: bytes, preprocessing: Preprocessing) -> bytes:
    """An ONNX graph of pictures at the input size, made one of pictures ``(N, H, W, 3)`` of any.

    Its map comes out at their size, ``(N, H, W)``; what else it gives stays as it is.
    """
    import onnx

    nodes = _Nodes()
    rows, columns = _axes(nodes, preprocessing)
    _letterbox(nodes, rows, columns, preprocessing)
    grown = rows.grow(), nodes("Transpose", columns.grow(), perm=[1, 0])
    model = onnx.load_from_string(graph)
    inside = model.graph
    own = {INPUT: _LETTERBOXED, MAP: _MAP_OF_INPUT}
    for node in inside.node:
        for names in (node.input, node.output):
            names[:] = [own.get(name, name) for name in names]
    last = _Nodes(nodes)  # numbered on
    wide = last("MatMul", _Value(last, _MAP_OF_INPUT), grown[1])
    last("MatMul", grown[0], wide, output=MAP)
    everything = [*nodes, *inside.node, *last[len(nodes) :]]
    del inside.node[:]
    inside.node.extend(everything)
    for value in (*inside.input, *(output for output in inside.output if output.name == MAP)):
        for axis, name in ((1, "height"), (2, "width")):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _axes(nodes: _Nodes, preprocessing: Preprocessing) -> tuple[_Side, _Side]:
    """Rows and columns, placed as :meth:`Preprocessing.placement` places them."""
    box = np.array(preprocessing.size, np.float64)
    size = nodes("Cast", nodes("Shape", _Value(nodes, INPUT), start=1, end=3), to=_DOUBLE)
    scale = nodes("ReduceMin", nodes("Div", box, size), keepdims=1)
    placed = nodes("Min", nodes("Max", nodes("Round", size * scale), 1.0), box)
    first = nodes("Floor", (placed * -1.0 + box) * 0.5)

    def axis(number: int) -> _Side:
        own = (nodes("Gather", values, np.array(number)) for values in (size, placed, first))
        return _Side(next(own), next(own), next(own), preprocessing.size[number])

    return axis(0), axis(1)


def _letterbox(nodes: _Nodes, rows: _Side, columns: _Side, preprocessing: Preprocessing) -> None:
    planes = nodes("Transpose", _Value(nodes, INPUT), perm=[0, 3, 1, 2])  # (N, 3, H, W)
    planes = nodes("Cast", planes, to=_FLOAT)
    black, white = np.array(0, np.float32), np.array(255, np.float32)
    planes = planes @ nodes("Transpose", columns.shrink(), perm=[1, 0])
    planes = nodes("Clip", nodes("Round", planes), black, white)
    planes = nodes("Clip", nodes("Round", rows.shrink() @ planes), black, white)
    fill = np.array(preprocessing.fill, np.float32).reshape(3, 1, 1)
    planes = nodes("Where", _column(rows.around) | columns.around, fill, planes)
    nodes("Transpose", nodes("Cast", planes, to=_UINT8), perm=[0, 2, 3, 1], output=_LETTERBOXED)
