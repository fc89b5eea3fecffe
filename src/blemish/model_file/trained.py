"""Trained model: a method to and from the content of a model file, and as a network."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from blemish._names import unknown_name_message
from blemish.calibration import Calibration
from blemish.data.images.preprocess import Preprocessing
from blemish.errors import BundleError, ConfigError
from blemish.inspection.network import NetworkOutput
from blemish.methods.base import Method
from blemish.model_file.bundle import Bundle, Manifest, TeacherEntry
from blemish.teachers.teacher import Teacher, build_teacher

_WEIGHTS = "model.safetensors"
#: Where a method can compute.
DEVICES = ("auto", "cpu", "cuda")
_RECORDED = ("blemish", "torch", "numpy", "pillow", "lightning", "timm")


def describe_method(
    name: str,
    method: Method,
    preprocessing: Preprocessing,
    *,
    products: tuple[str, ...],
    calibration: Calibration | None,
    training: dict[str, Any],
) -> Manifest:
    """The manifest of a trained method."""
    teacher = method.teacher
    return Manifest(
        method=name,
        config=method.config.to_json(),
        teacher=TeacherEntry(
            name=teacher.name, sha256=teacher.digest, pretrained=teacher.pretrained
        ),
        preprocessing=preprocessing.to_json(),
        products=products,
        calibration=None if calibration is None else calibration.to_json(),
        training=training,
        versions=_versions(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def pack_weights(method: Method) -> dict[str, bytes]:
    """The members of the model file that hold the weights, the teacher's included."""
    tensors = {key: value.contiguous() for key, value in method.inference_state().items()}
    return {_WEIGHTS: save_tensors(tensors)}


def unpack_method(path: str | Path, bundle: Bundle, build: Callable[[Teacher], Method]) -> Method:
    """The method that ``build`` makes of the file's teacher, with the file's weights.

    Raises:
        BundleError: The weights do not fit the method.
    """
    manifest = bundle.manifest
    if manifest.kind != "trained":
        raise BundleError(
            f"{path} is an exported model: it predicts, but holds no trained weights. Open it with "
            "blemish.open_model(), or give the trained model it was made from."
        )
    try:
        # The architecture alone: the weights, the teacher's included, come from the file.
        with torch.random.fork_rng():
            teacher = build_teacher(manifest.teacher.name, weights="random")
            method = build(teacher)
    except ConfigError as error:
        raise BundleError(f"{path} cannot be used: {error}") from error
    if _WEIGHTS not in bundle.files:
        raise BundleError(f"{path} holds no trained weights but {sorted(bundle.files)}.")
    try:
        tensors = load_tensors(bundle.files[_WEIGHTS])
        missing, unexpected = method.load_state_dict(tensors, strict=False)
    except Exception as error:
        # PyTorch lists every tensor on a line of its own; the first two say enough.
        reason = " ".join(str(error).split("\n")[:2])
        raise BundleError(f"{path}: the weights do not fit the method: {reason}") from error
    needed = method.inference_state().keys()
    misfits = [key for key in missing if key in needed] + unexpected
    if misfits:
        raise BundleError(
            f"{path}: the weights do not fit the method {manifest.method!r} of this version "
            f"(first: {misfits[0]}). It was written by blemish "
            f"{manifest.versions.get('blemish', '?')}; use that version, or train again."
        )
    teacher.pretrained = manifest.teacher.pretrained
    method.drop_training_only()
    return method


def resolve_device(name: str) -> str:
    """``cpu`` or ``cuda`` for a name of :data:`DEVICES`, checked before any work begins.

    Raises:
        ConfigError: An unknown name, or ``cuda`` on a machine where PyTorch finds no GPU.
    """
    if name not in DEVICES:
        raise ConfigError(unknown_name_message("device", name, DEVICES))
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"The device cuda was asked for, but PyTorch {torch.__version__} finds no GPU. Use "
            "--device cpu, or install a CUDA build of PyTorch and its driver."
        )
    return name


class MethodNetwork:
    """Calls a trained method on pixels, on the device where its weights are.

    Args:
        method: Trained, in evaluation mode.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.device = next(method.parameters()).device

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        """Judge pixels ``(N, H, W, 3)`` uint8 at the model's input size."""
        with torch.inference_mode():
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # (N, 3, H, W)
            output = self.method(images.to(self.device))
        return NetworkOutput(
            maps=output.anomaly_map[:, 0].float().cpu().numpy(),
            scores=output.score.double().cpu().numpy(),
            branches={
                name: values.double().cpu().numpy() for name, values in output.branches.items()
            },
            departures=(
                None if output.departure is None else output.departure[:, 0].float().cpu().numpy()
            ),
        )


def _versions() -> dict[str, str]:
    found = {}
    for package in _RECORDED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
