"""Exported graphs as networks: ONNX Runtime, and OpenVINO if asked for.

A graph takes ``pixels (N, H, W, 3)`` uint8 and gives ``anomaly_map (N, H, W)``, ``score (N,)``,
``branch_<name> (N,)`` for each branch, and from methods that explain themselves ``departure
(N, h, w)``; all float32.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.errors import BundleError, ConfigError, MissingExtraError, first_line
from blemish.inspection.network import Network, NetworkOutput
from blemish.inspection.pipeline import usable_cores
from blemish.runtime.passes import INPUT, OnnxPasses

MAP, SCORE, BRANCH, DEPARTURE = "anomaly_map", "score", "branch_", "departure"
#: Members of a model file that holds OpenVINO's intermediate representation.
IR = ("model.xml", "model.bin")


def output_names(branches: tuple[str, ...], *, departs: bool = False) -> list[str]:
    """Names of a graph's outputs, in order.

    Example:
        >>> from blemish.runtime.networks import output_names
        >>> output_names(("logical",))
        ['anomaly_map', 'score', 'branch_logical']
    """
    return [MAP, SCORE, *(BRANCH + name for name in branches), *([DEPARTURE] if departs else [])]


class OnnxNetwork:
    """An ONNX graph in ONNX Runtime, on the CPU.

    Args:
        graph: The ONNX file's bytes.
        branches: Names of the method's branches.
        threads: Threads of one call; ``None``: as many as ``OMP_NUM_THREADS`` says, else as many
            as this process may use cores.

    Raises:
        BundleError: ONNX Runtime cannot load the graph.
    """

    def __init__(
        self, graph: bytes, branches: tuple[str, ...], *, threads: int | None = None
    ) -> None:
        self.passes = OnnxPasses(graph, _checked(threads))
        session = self.passes.session
        given = {output.name for output in session.get_outputs()}
        self.branches = branches
        self.names = output_names(branches, departs=DEPARTURE in given)
        missing = set(self.names) - given
        if missing or [i.name for i in session.get_inputs()] != [INPUT]:
            lacking = ", ".join(sorted(missing)) or INPUT
            raise BundleError(f"The graph is not one of blemish's: it lacks {lacking}.")

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        """Judge pixels ``(N, H, W, 3)`` uint8 at the model's input size."""
        return _network_output(self.passes(self.names, pixels), self.branches)


class OpenVinoNetwork:
    """OpenVINO's intermediate representation on the CPU, in float32 whatever the CPU offers.

    Args:
        xml, weights: The two parts of the representation.
        branches: Names of the method's branches.
        threads: As in :class:`OnnxNetwork`.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        BundleError: OpenVINO cannot load the graph.
    """

    def __init__(
        self, xml: bytes, weights: bytes, branches: tuple[str, ...], *, threads: int | None = None
    ) -> None:
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise MissingExtraError("A model in OpenVINO's format", "openvino") from error
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": _checked(threads),
            # By itself OpenVINO takes bfloat16 where the CPU has it: other scores than trained.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        core = openvino.Core()
        try:
            # Through a tensor: the weights stay bytes of ours and need no file.
            tensor = openvino.Tensor(np.frombuffer(weights, np.uint8).copy())
            model = core.read_model(xml, tensor)
            self.compiled = core.compile_model(model, "CPU", settings)
            self.request = self.compiled.create_infer_request()
            given = {name for output in self.compiled.outputs for name in output.names}
            names = output_names(branches, departs=DEPARTURE in given)
            self.outputs = [self.compiled.output(name) for name in names]
        except Exception as error:  # OpenVINO raises RuntimeError for nearly anything
            raise BundleError(f"OpenVINO cannot load the graph: {first_line(error)}") from error
        self.branches = branches
        self.lock = threading.Lock()

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        """Judge pixels ``(N, H, W, 3)`` uint8 at the model's input size."""
        with self.lock:
            found = self.request.infer({INPUT: pixels})
            # The request's memory is written again by the next call.
            values = [found[output].copy() for output in self.outputs]
        return _network_output(values, self.branches)


def build_network(
    format: str,
    files: Mapping[str, bytes],
    branches: tuple[str, ...],
    *,
    threads: int | None = None,
) -> Network:
    """The network of an exported model's members.

    Raises:
        BundleError: A member is missing, or the runtime cannot load the graph.
        MissingExtraError: The format needs a runtime that is not installed.
    """
    wanted = IR if format == "openvino" else ("model.onnx",)
    missing = [name for name in wanted if name not in files]
    if missing:
        raise BundleError(f"It holds no {missing[0]} but {sorted(files)}. Export the model again.")
    if format == "openvino":
        return OpenVinoNetwork(files[IR[0]], files[IR[1]], branches, threads=threads)
    return OnnxNetwork(files["model.onnx"], branches, threads=threads)


def _network_output(values: list[Any], branches: tuple[str, ...]) -> NetworkOutput:
    anomaly_map, score, *rest = values
    of_branches = {
        name: value.astype(np.float64) for name, value in zip(branches, rest, strict=False)
    }
    departure = rest[len(branches)] if len(rest) > len(branches) else None
    return NetworkOutput(anomaly_map, score.astype(np.float64), of_branches, departure)


def _checked(threads: int | None) -> int:
    if threads is not None and threads < 1:
        raise ConfigError(f"threads={threads}: expected at least 1, or None for all cores.")
    # The customary way to say it from outside, which neither runtime follows by itself.
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return threads or (int(asked) if asked.isdecimal() else 0) or usable_cores()
