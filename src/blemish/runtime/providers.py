"""Execution providers of ONNX Runtime by name: which are there, and whether one computes the same.

The limits of a model are from scores of the CPU. So an accelerator judges only after it has given
the CPU's outputs on a few pictures, when the model is opened; one that is chosen of itself and does
not is passed over, one that was asked for is an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish._names import unknown_name_message
from blemish.errors import BundleError, ConfigError, first_line

#: ONNX Runtime's names, and the package whose build has each.
PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
}
#: Tried in this order where none is named. Not TensorRT, which builds for minutes at every start.
AUTOMATIC = ("cuda", "directml", "openvino")
#: Full precision where a provider would take less by itself.
_OPTIONS: dict[str, dict[str, str]] = {"cuda": {"use_tf32": "0"}}
#: Largest relative difference from the CPU's outputs; what an export may differ from its model.
LARGEST_DIFFERENCE = 1e-3
#: Pictures compared, and their side where the graph takes any size.
COMPARED, _ANY_SIDE = 2, 256


def candidates(provider: str) -> tuple[str, ...]:
    """The accelerators to try, in order; none for the CPU.

    Args:
        provider: A name in :data:`PROVIDERS`, or ``auto``.

    Raises:
        ConfigError: An unknown name, or one that this build of ONNX Runtime does not have.

    Example:
        >>> from blemish.runtime.providers import candidates
        >>> candidates("cpu")
        ()
    """
    if provider not in ("auto", *PROVIDERS):
        raise ConfigError(unknown_name_message("provider", provider, ["auto", *PROVIDERS]))
    if provider == "cpu":
        return ()
    import onnxruntime

    there = onnxruntime.get_available_providers()
    names = [name for name, (long, _) in PROVIDERS.items() if long in there]
    if provider == "auto":
        return tuple(name for name in AUTOMATIC if name in names)
    if provider not in names:
        raise ConfigError(
            f"provider={provider}: the ONNX Runtime that is installed has {', '.join(names)}. For "
            f"{provider} install the build that has it in place of onnxruntime: pip uninstall "
            f"onnxruntime; pip install {PROVIDERS[provider][1]}. Or take auto."
        )
    return (provider,)


def open_session(graph: bytes, threads: int, provider: str = "cpu") -> Any:
    """A session of ONNX Runtime; :class:`BundleError` where it cannot load the graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Waiting threads would spin on cores that decoding and the server could use.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # it warns of nothing a user could act on
    if provider == "directml":  # which asks for it
        options.enable_mem_pattern = False
    long = PROVIDERS[provider][0]
    chosen = [] if provider == "cpu" else [(long, _OPTIONS.get(provider, {}))]
    try:
        session = onnxruntime.InferenceSession(
            graph, options, providers=[*chosen, "CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's errors have no common class but this
        raise BundleError(f"ONNX Runtime cannot load the graph: {first_line(error)}") from error
    if long not in session.get_providers():  # it goes on with the CPU in silence
        raise BundleError(
            f"ONNX Runtime cannot start {provider}: its libraries or a device are missing."
        )
    return session


def compared_pixels(session: Any) -> NDArray[np.uint8]:
    """Pictures ``(COMPARED, H, W, 3)`` of what a graph takes: smooth ones with a little noise."""
    shape = session.get_inputs()[0].shape[1:3]
    height, width = (side if isinstance(side, int) else _ANY_SIDE for side in shape)
    rng = np.random.default_rng(0)
    waves = np.sin(np.arange(height)[:, None] / 9) + np.cos(np.arange(width)[None, :] / 7)  # (H, W)
    noise = rng.normal(0, 6, (COMPARED, height, width, 3))
    return (128 + 40 * waves[None, :, :, None] + noise).clip(0, 255).astype(np.uint8)


def largest_difference(found: Sequence[Any], expected: Sequence[Any]) -> float:
    """Of outputs, the largest difference relative to the largest magnitude of its output."""
    largest = 0.0
    for first, second in zip(found, expected, strict=True):
        one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
        if one.shape != other.shape or not np.isfinite(one).all():
            return math.inf
        scale = float(np.abs(other).max()) or 1.0
        largest = max(largest, float(np.abs(one - other).max()) / scale)
    return largest
