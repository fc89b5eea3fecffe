"""Exported networks: a graph in ONNX Runtime, or in OpenVINO if asked for.

A graph takes ``pixels (N, H, W, 3)`` uint8 and gives ``anomaly_map (N, H, W)``, ``score (N,)``,
``branch_<name> (N,)`` for each branch, and from methods that explain themselves ``departure
(N, h, w)``; all float32. From methods that recognise the product it gives its place among the
model's products, ``product (N,)`` int64, −1 where it is none of them; and as ``rival (N,)`` the
place of another one that the picture may as well show, −1 where it is clear.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.errors import BundleError, ConfigError, MissingExtraError, first_line
from blemish.inspection.network import NetworkOutput
from blemish.results import UNKNOWN_PRODUCT
from blemish.runtime.cores import usable_cores
from blemish.runtime.providers import (
    COMPARED,
    LARGEST_DIFFERENCE,
    candidates,
    compared_pixels,
    largest_difference,
    open_session,
)

INPUT = "pixels"
MAP, SCORE, BRANCH, DEPARTURE = "anomaly_map", "score", "branch_", "departure"
PRODUCT, RIVAL = "product", "rival"
#: Members of a model file that holds OpenVINO's intermediate representation.
IR = ("model.xml", "model.bin")
#: Images of one pass at most: their features still fit the second-level cache, and 4 together cost
#: less per image than 8 or more (``benchmarks/bench_export.py``).
ONNX_PASS = 4
#: The same where a thread has the pass to itself: a core's cache holds the features of fewer, and
#: more passes are shared out more evenly.
OWN_PASS = 2
#: The same of an accelerator, which has memory of its own and likes many.
ACCELERATOR_PASS = 32


def output_names(
    branches: tuple[str, ...],
    *,
    departs: bool = False,
    recognises: bool = False,
    doubts: bool = False,
) -> list[str]:
    """Names of a graph's outputs, in order."""
    given = {DEPARTURE: departs, PRODUCT: recognises, RIVAL: doubts}
    last = [name for name, is_there in given.items() if is_there]
    return [MAP, SCORE, *(BRANCH + name for name in branches), *last]


def names_of(given: Container[str], branches: tuple[str, ...]) -> list[str]:
    """Names of the outputs that a graph should have, seeing which of the optional ones it gives."""
    return output_names(
        branches, departs=DEPARTURE in given, recognises=PRODUCT in given, doubts=RIVAL in given
    )


class OnnxPasses:
    """An ONNX graph, ready to run, its input cut into passes of a few images.

    A single image has all threads. Of as many images as there are threads, or more, each thread
    takes passes of its own: threads that share a pass wait for each other at every layer, and
    whatever takes a core from one of them for a moment, such as decoding or a server's event loop,
    holds up all. The answers are the same. An accelerator takes larger passes, one after the other.
    """

    def __init__(self, graph: bytes, threads: int, provider: str = "cpu") -> None:
        self.threads = threads
        self.provider = provider
        here = provider == "cpu"
        self.session = open_session(graph, threads) if here else open_session(graph, 1, provider)
        self._graph = graph
        self._opening = threading.Lock()
        self._beside: tuple[Any, ThreadPoolExecutor] | None = None

    def __call__(self, names: list[str], pixels: NDArray[np.uint8]) -> list[Any]:
        """Outputs by name for pixels ``(N, H, W, 3)`` uint8."""
        count = len(pixels)
        if self.provider != "cpu" or self.threads == 1 or count < self.threads:
            size = ONNX_PASS if self.provider == "cpu" else ACCELERATOR_PASS
            passes = [
                self.session.run(names, {INPUT: pixels[start : start + size]})
                for start in range(0, max(1, count), size)
            ]
        else:
            session, pool = self._side_by_side()
            size = min(OWN_PASS, -(-count // self.threads))
            parts = [pixels[start : start + size] for start in range(0, count, size)]
            passes = list(pool.map(lambda part: session.run(names, {INPUT: part}), parts))
        if len(passes) == 1:
            return list(passes[0])
        return [np.concatenate(values) for values in zip(*passes, strict=True)]

    def _side_by_side(self) -> tuple[Any, ThreadPoolExecutor]:
        # Opened when first needed: it holds the weights a second time.
        with self._opening:
            if self._beside is None:
                session = open_session(self._graph, 1)
                self._beside = session, ThreadPoolExecutor(self.threads, "onnx")
                self._graph = b""  # both sessions have it now
            return self._beside


class OnnxNetwork:
    """An ONNX graph in ONNX Runtime, on the CPU or an accelerator.

    Args:
        graph: The ONNX file's bytes.
        branches: Names of the method's branches.
        products: Names of the products, as the graph counts them.
        threads: Threads of one call; ``None``: as many as ``OMP_NUM_THREADS`` says, else as many
            as this process may use cores.
        provider: Where it runs, a name in :data:`~.providers.PROVIDERS`; ``auto``: the first
            accelerator that is there and gives what the CPU gives.

    Attributes:
        said: Where it runs and what was compared; empty where nothing but the CPU is there.

    Raises:
        BundleError: ONNX Runtime cannot load the graph.
        ConfigError: The provider is unknown, not there, or gives other outputs than the CPU.
    """

    def __init__(
        self,
        graph: bytes,
        branches: tuple[str, ...],
        *,
        products: tuple[str, ...] = (),
        threads: int | None = None,
        provider: str = "auto",
    ) -> None:
        self.passes = OnnxPasses(graph, checked_threads(threads))
        session = self.passes.session
        given = {output.name for output in session.get_outputs()}
        self.products, self.recognises = products, PRODUCT in given
        self.names = names_of(given, branches)
        missing = set(self.names) - given
        if missing or [i.name for i in session.get_inputs()] != [INPUT]:
            lacking = ", ".join(sorted(missing)) or INPUT
            raise BundleError(f"The graph is not one of blemish's: it lacks {lacking}.")
        self.said = ""
        for name in candidates(provider):
            problem = self._move(graph, name)
            if not problem:
                break
            if provider != "auto":
                raise ConfigError(f"provider={provider}: {problem} Take auto or cpu.")
            self.said = f"{problem} The CPU judges."

    def _move(self, graph: bytes, provider: str) -> str:
        """Run on an accelerator from now on, or say why not."""
        pixels = compared_pixels(self.passes.session)
        try:
            there = OnnxPasses(graph, self.passes.threads, provider)
            found = there(self.names, pixels)
        except Exception as error:  # whatever a driver raises, the CPU is there
            return f"{provider} cannot run this model ({first_line(error)})."
        differs = largest_difference(found, self.passes(self.names, pixels))
        if not differs <= LARGEST_DIFFERENCE:
            return (
                f"{provider} gives other outputs than the CPU, by {differs:.2g} relative; at most "
                f"{LARGEST_DIFFERENCE:g} is accepted, because the limits are from the CPU's scores."
            )
        self.passes = there
        self.said = (
            f"Judged by {provider}: on {COMPARED} pictures its outputs differ from the CPU's by "
            f"{differs:.1g} relative; {LARGEST_DIFFERENCE:g} is accepted."
        )
        return ""

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        return _network_output(self.names, self.passes(self.names, pixels), self.products)


class OpenVinoNetwork:
    """OpenVINO's intermediate representation on the CPU, in float32 whatever the CPU offers.

    Args:
        xml, weights: The two parts of the representation.
        branches, products, threads: As in :class:`OnnxNetwork`.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        BundleError: OpenVINO cannot load the graph.
    """

    def __init__(
        self,
        xml: bytes,
        weights: bytes,
        branches: tuple[str, ...],
        *,
        products: tuple[str, ...] = (),
        threads: int | None = None,
    ) -> None:
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise MissingExtraError("A model in OpenVINO's format", "openvino") from error
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": checked_threads(threads),
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
            self.products, self.recognises = products, PRODUCT in given
            self.names = names_of(given, branches)
            self.outputs = [self.compiled.output(name) for name in self.names]
        except Exception as error:  # OpenVINO raises RuntimeError for nearly anything
            raise BundleError(f"OpenVINO cannot load the graph: {first_line(error)}") from error
        self.lock = threading.Lock()

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        with self.lock:
            found = self.request.infer({INPUT: pixels})
            # The request's memory is written again by the next call.
            values = [found[output].copy() for output in self.outputs]
        return _network_output(self.names, values, self.products)


def build_network(
    format: str,
    files: Mapping[str, bytes],
    branches: tuple[str, ...],
    *,
    products: tuple[str, ...] = (),
    threads: int | None = None,
    provider: str = "auto",
) -> OnnxNetwork | OpenVinoNetwork:
    """The network of an exported model's members.

    Raises:
        BundleError: A member is missing, or the runtime cannot load the graph.
        MissingExtraError: The format needs a runtime that is not installed.
        ConfigError: The provider is not there or not for this format, or computes otherwise.
    """
    wanted = IR if format == "openvino" else ("model.onnx",)
    missing = [name for name in wanted if name not in files]
    if missing:
        raise BundleError(f"It holds no {missing[0]} but {sorted(files)}. Export the model again.")
    if format == "openvino":
        if provider not in ("auto", "cpu", "openvino"):
            raise ConfigError(
                f"provider={provider}: a model in OpenVINO's format runs in OpenVINO, on the CPU. "
                "Export it for ONNX Runtime: blemish export --format onnx"
            )
        xml, weights = (files[name] for name in IR)
        return OpenVinoNetwork(xml, weights, branches, products=products, threads=threads)
    return OnnxNetwork(
        files["model.onnx"], branches, products=products, threads=threads, provider=provider
    )


def _network_output(
    names: list[str], values: list[Any], products: tuple[str, ...]
) -> NetworkOutput:
    found = dict(zip(names, values, strict=True))
    shown, known = found.get(PRODUCT), (*products, UNKNOWN_PRODUCT)  # -1 is the last
    rivals, other = found.get(RIVAL), (*products, "")
    return NetworkOutput(
        maps=found[MAP],
        scores=found[SCORE].astype(np.float64),
        branches={
            name.removeprefix(BRANCH): value.astype(np.float64)
            for name, value in found.items()
            if name.startswith(BRANCH)
        },
        departures=found.get(DEPARTURE),
        products=None if shown is None else tuple(known[place] for place in shown.tolist()),
        rivals=None if rivals is None else tuple(other[place] for place in rivals.tolist()),
    )


def checked_threads(threads: int | None) -> int:
    """Threads of one call: those asked for, else ``OMP_NUM_THREADS``, else all cores."""
    if threads is not None and threads < 1:
        raise ConfigError(f"threads={threads}: expected at least 1, or None for all cores.")
    # The customary way to say it from outside, which neither runtime follows by itself.
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return threads or (int(asked) if asked.isdecimal() else 0) or usable_cores()
