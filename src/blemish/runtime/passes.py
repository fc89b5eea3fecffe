"""An ONNX graph in ONNX Runtime, its input cut into passes of a few images."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.errors import BundleError, first_line

INPUT = "pixels"
#: Images of one pass at most: their features still fit the second-level cache, and 4 together cost
#: less per image than 8 or more (``benchmarks/bench_export.py``).
ONNX_PASS = 4
#: The same where a thread has the pass to itself: a core's cache holds the features of fewer, and
#: more passes are shared out more evenly.
OWN_PASS = 2


class OnnxPasses:
    """A graph, ready to run.

    A single image has all threads. Of as many images as there are threads, or more, each thread
    takes passes of its own: threads that share a pass wait for each other at every layer, and
    whatever takes a core from one of them for a moment, such as decoding or a server's event loop,
    holds up all. The answers are the same.

    Args:
        graph: The ONNX file's bytes.
        threads: Threads of one call.

    Raises:
        BundleError: ONNX Runtime cannot load the graph.

    Example: see :class:`blemish.runtime.networks.OnnxNetwork`.
    """

    def __init__(self, graph: bytes, threads: int) -> None:
        self.threads = threads
        self.session = open_session(graph, threads)
        self._graph = graph
        self._opening = threading.Lock()
        self._beside: tuple[Any, ThreadPoolExecutor] | None = None

    def __call__(self, names: list[str], pixels: NDArray[np.uint8]) -> list[Any]:
        """Outputs by name for pixels ``(N, H, W, 3)`` uint8."""
        count = len(pixels)
        if self.threads == 1 or count < self.threads:
            passes = [
                self.session.run(names, {INPUT: pixels[start : start + ONNX_PASS]})
                for start in range(0, max(1, count), ONNX_PASS)
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


def open_session(graph: bytes, threads: int) -> Any:
    """A session of ONNX Runtime on the CPU.

    Raises:
        BundleError: ONNX Runtime cannot load the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Waiting threads would spin on cores that decoding and the server could use.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # it warns of nothing a user could act on
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class but this
        raise BundleError(f"ONNX Runtime cannot load the graph: {first_line(error)}") from error
