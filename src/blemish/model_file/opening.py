"""Opening a model file of either kind; torch is imported for trained ones only."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from blemish.errors import ConfigError, MissingExtraError
from blemish.inspector import Inspector
from blemish.model_file.bundle import Manifest, read_manifest

#: What a trained and an exported model have in common.
Model: TypeAlias = Inspector


def is_exported(path: str | Path) -> bool:
    """Whether a model file holds an exported graph, which needs no torch.

    Raises:
        BundleError: It is missing, damaged, altered, or no model file.

    Example:
        >>> from blemish.model_file.opening import is_exported
        >>> is_exported("part.onnx")
        True
    """
    return Path(path).suffix.lower() == ".onnx" or read_manifest(path).export is not None


def model_manifest(path: str | Path) -> Manifest:
    """What a model file of either kind says of itself, without loading the model.

    Raises:
        BundleError: As :func:`is_exported`.

    Example:
        >>> from blemish.errors import BundleError
        >>> from blemish.model_file.opening import model_manifest
        >>> try:
        ...     model_manifest("missing.onnx")
        ... except BundleError as error:
        ...     print(error)
        missing.onnx does not exist. Expected a model file, as `blemish export` writes it.
    """
    if Path(path).suffix.lower() != ".onnx":
        return read_manifest(path)
    from blemish.runtime.exported import read_exported

    return read_exported(path).manifest


def open_model(path: str | Path, *, device: str = "cpu", threads: int | None = None) -> Model:
    """Open a model file: a trained model in torch, an exported one in its own runtime.

    Args:
        path: What ``blemish fit`` or ``blemish export`` wrote.
        device: ``auto``, ``cpu`` or ``cuda``; an exported model runs on the CPU.
        threads: Threads of an exported model's network; ``None`` for all cores.

    Raises:
        BundleError: The file is missing, damaged, altered, or of a newer schema.
        MissingExtraError: It is a trained model and torch is not installed, or in OpenVINO's
            format and OpenVINO is not.
        ConfigError: The device is unknown or not there.

    Example:
        >>> from blemish.errors import BundleError
        >>> from blemish.model_file.opening import open_model
        >>> try:
        ...     open_model("missing.blemish")
        ... except BundleError as error:
        ...     print(error)
        missing.blemish does not exist. Expected a model file, as `blemish fit` writes it.
    """
    if is_exported(path):
        from blemish.runtime import load

        if device not in ("cpu", "auto"):
            raise ConfigError(
                f"device={device}: an exported model runs on the CPU. Use cpu, or the trained "
                "model it was made from."
            )
        return load(path, threads=threads)
    try:
        from blemish.detector import Detector
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("blemish"):
            raise
        raise MissingExtraError(
            f"{path} is a trained model, not an exported one. Opening it", "train"
        ) from error
    return Detector.load(path, device=device)
