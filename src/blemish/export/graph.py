"""Graph of a method, from raw pixels to map, score and branch scores: ONNX, or OpenVINO's IR."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from blemish.errors import ConfigError, MissingExtraError, first_line
from blemish.methods.base import Method
from blemish.runtime.networks import INPUT, output_names

#: What ONNX Runtime 1.19, the oldest that blemish accepts, reads.
OPSET = 20
#: Images of a batch at most, as the exporter is told: that of torch 2.7 finds the largest whole
#: number to be an exception, and would refuse.
_MOST = 2**31 - 1


class InferenceGraph(nn.Module):
    """What is exported: the method's own forward pass, and nothing that decides anything.

    Shapes: pixels ``(N, H, W, 3)`` uint8 → map ``(N, H, W)``, score ``(N,)``, branches ``(N,)``,
    the departure ``(N, h, w)`` of a method that gives one, and of one that recognises products the
    places ``(N,)`` of the product shown and of its rival.

    Args:
        method: Trained.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        output = self.method(pixels.permute(0, 3, 1, 2))
        values = [output.anomaly_map.squeeze(1), output.score]
        values += [output.branches[name] for name in self.method.branch_names]
        if output.departure is not None:
            values.append(output.departure.squeeze(1))
        if output.product is not None:
            values.append(output.product)
        if output.rival is not None:
            values.append(output.rival)
        return tuple(values)


def onnx_graph(method: Method) -> bytes:
    """The ONNX file of a method, for batches of any size at its input size.

    Batch normalisation is folded into the convolutions before it, and everything that follows
    from the input size, such as padding, is a constant.

    Raises:
        ConfigError: The method does something that has no counterpart in ONNX; the message says
            what.
        MissingExtraError: The packages that write ONNX are not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ModuleNotFoundError as error:
        raise MissingExtraError("Exporting a model", "export") from error
    # A copy: evaluation mode in every part, and the memory layout that ONNX knows.
    predicting = copy.deepcopy(method).cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    predicting.drop_training_only()  # so that the exporter need not read it
    graph = InferenceGraph(predicting).eval().requires_grad_(False)
    # Two images: of a batch of one, torch would take the size for a constant.
    example = torch.full((2, *method.input_size, 3), 127, dtype=torch.uint8)
    branches = method.branch_names
    try:
        with _quiet(), torch.no_grad():
            output = predicting(example.permute(0, 3, 1, 2))
            names = output_names(
                branches,
                departs=output.departure is not None,
                recognises=output.product is not None,
                doubts=output.rival is not None,
            )
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=names,
                dynamic_shapes=({0: torch.export.Dim("batch", max=_MOST)},),
                verbose=False,
            )
    except Exception as error:  # torch's exporter can raise nearly anything
        raise _refusal(method, _reason(error)) from error
    assert program is not None  # with dynamo it is given
    model = program.model_proto
    if not all(
        value.type.tensor_type.shape.dim[0].dim_param
        for value in (*model.graph.input, *model.graph.output)
    ):
        raise _refusal(method, "its forward pass fixes the number of images, as len(images) does.")
    _strip(model)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def intermediate_representation(graph: bytes) -> tuple[bytes, bytes]:
    """The two members ``model.xml`` and ``model.bin`` of an ONNX file.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ConfigError: OpenVINO does not know an operation of the graph.
    """
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtraError("Exporting to OpenVINO's format", "openvino") from error
    with tempfile.TemporaryDirectory() as folder:
        try:
            # Not convert_model(), whose tool reports its use over the internet.
            model = openvino.Core().read_model(graph)
            # By itself it halves the precision of the weights.
            openvino.save_model(model, Path(folder) / "model.xml", compress_to_fp16=False)
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise ConfigError(
                f"OpenVINO cannot take this model: {lines[-1] if lines else error} "
                "Export it with --format onnx."
            ) from error
        return tuple((Path(folder) / name).read_bytes() for name in ("model.xml", "model.bin"))  # type: ignore[return-value]


def _refusal(method: Method, reason: str) -> ConfigError:
    return ConfigError(
        f"This {type(method).__name__} model cannot be exported: {reason} "
        "It can still be used as it is, with blemish.Detector.load()."
    )


def _reason(error: BaseException) -> str:
    """The first line of what went wrong at the bottom; above it stand only the exporter's steps."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{first_line(error).rstrip('.')}."


def _strip(model: object) -> None:
    """Drop torch's notes on every node: the exporting machine's paths are nobody's business."""
    model.producer_name, model.producer_version, model.doc_string = "blemish", "", ""  # type: ignore[attr-defined]
    graph = model.graph  # type: ignore[attr-defined]
    graph.doc_string = ""
    del model.metadata_props[:]  # type: ignore[attr-defined]
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's notes on its own progress from the user's terminal."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            torch.random.fork_rng(devices=[]),
        ):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            yield
    finally:
        logger.setLevel(level)
