"""New limits in a model file: its weights or graph stay as they are, and nothing runs them."""

from __future__ import annotations

from pathlib import Path

from blemish.calibration import Calibration
from blemish.model_file.bundle import Bundle, Manifest, write_bundle, write_exported


def write_limits(path: str | Path, bundle: Bundle, limits: Calibration | None) -> Manifest:
    """Write a model file's content with other limits, whole or not at all; needs no torch.

    Returns:
        The manifest as written.

    Raises:
        ConfigError: The folder cannot be written to, or a graph of another format than ONNX is to
            be written as ``.onnx``.
    """
    calibration = None if limits is None else limits.to_json()
    changes: dict[str, object] = {"calibration": calibration}
    export = bundle.manifest.export
    before = (bundle.manifest.calibration or {}).get("groups")
    if export is None:
        return write_bundle(path, bundle.manifest.model_copy(update=changes), bundle.files)
    if calibration is not None and calibration["groups"] != before:
        # Not the rates alone: the limits are now from this graph's own scores.
        changes["export"] = export.model_copy(update={"recalibrated": True})
    return write_exported(path, bundle.manifest.model_copy(update=changes), bundle.files)
