"""A method to and from the content of a model file."""

from __future__ import annotations

from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from blemish.calibration import Calibration
from blemish.data.images.preprocess import Preprocessing
from blemish.errors import BundleError, ConfigError
from blemish.methods.base import Method
from blemish.methods.registry import build_method
from blemish.model_file.bundle import Bundle, Manifest, TeacherEntry
from blemish.teachers.teacher import build_teacher

_WEIGHTS = "model.safetensors"
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


def unpack_method(path: str | Path, bundle: Bundle, preprocessing: Preprocessing) -> Method:
    """Build the method a model file describes and give it the file's weights.

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
            method = build_method(manifest.method, manifest.config, teacher, preprocessing.size)
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


def _versions() -> dict[str, str]:
    found = {}
    for package in _RECORDED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
