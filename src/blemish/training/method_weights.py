"""Weights of a method in its model file: the tensors that prediction needs, and no code."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load as load_tensors

from blemish.data.images.preprocess import Preprocessing
from blemish.errors import BundleError, ConfigError
from blemish.methods.base import Method
from blemish.methods.settings import MethodConfig
from blemish.model_file.bundle import Bundle
from blemish.teachers.teacher import build_teacher

#: Name among the file's members.
WEIGHTS = "model.safetensors"


def load_weights(path: str | Path, bundle: Bundle, method: Method) -> None:
    """Put the weights of a model file into the method that it describes."""
    if WEIGHTS not in bundle.files:
        raise BundleError(f"{path} holds no trained weights but {sorted(bundle.files)}.")
    try:
        tensors = load_tensors(bundle.files[WEIGHTS])
        missing, unexpected = method.load_state_dict(tensors, strict=False)
    except Exception as error:
        # PyTorch lists every tensor on a line of its own; the first two say enough.
        reason = " ".join(str(error).split("\n")[:2])
        raise BundleError(f"{path}: the weights do not fit the method: {reason}") from error
    needed = method.inference_state().keys()
    misfits = [key for key in missing if key in needed] + unexpected
    if misfits:
        raise BundleError(
            f"{path}: the weights do not fit the method {bundle.manifest.method!r} of this version "
            f"(first: {misfits[0]}). It was written by blemish "
            f"{bundle.manifest.versions.get('blemish', '?')}; use that version, or train again."
        )


def rebuilt(
    path: str | Path,
    bundle: Bundle,
    build: type[Method],
    config: MethodConfig,
    preprocessing: Preprocessing,
) -> Method:
    """The method of a model file, teacher included, as it predicts."""
    entry = bundle.manifest.teacher
    try:
        # The architecture alone: the weights, the teacher's included, come from the file.
        with torch.random.fork_rng(devices=[]):
            teacher = build_teacher(entry.name, weights="random")
            method = build(config, teacher, preprocessing.size)
    except ConfigError as error:
        raise BundleError(f"{path} cannot be used: {error}") from error
    load_weights(path, bundle, method)
    teacher.pretrained = entry.pretrained
    method.drop_training_only()
    return method


def to_predict(method: Method) -> Method:
    """Ready to predict: a trained and a loaded method compute with the same memory layout."""
    return method.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
