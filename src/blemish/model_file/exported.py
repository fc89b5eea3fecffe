"""Exported model file: a bundle or a bare ``.onnx``; the graph carries the manifest too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from blemish._files import atomic_write
from blemish.errors import BundleError, ConfigError
from blemish.model_file.bundle import (
    Bundle,
    Manifest,
    read_bundle,
    read_manifest,
    seal,
    write_bundle,
)
from blemish.model_file.onnx_file import GRAPH, read_onnx, split, with_manifest


def write_exported(path: str | Path, manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Write an exported model, whole or not at all; the suffix ``.onnx`` gives the bare graph.

    Returns:
        The manifest as written.

    Raises:
        ConfigError: As ``write_bundle``, or the graph is not an ONNX one.
    """
    if Path(path).suffix.lower() != ".onnx":
        if GRAPH in files:
            # The graph says who it is also when it is taken out of the bundle.
            files = {**files, GRAPH: with_manifest(files[GRAPH], manifest)}
        return write_bundle(path, manifest, files)
    if GRAPH not in files:
        raise ConfigError(f"{path}: this model is not in ONNX format. Give a name in .blemish.")
    content = with_manifest(files[GRAPH], manifest)
    with atomic_write(path) as file:
        file.write(content)
    return seal(manifest, {GRAPH: files[GRAPH]})[0]


def read_model(path: str | Path) -> Bundle:
    """Read and check a model file of either kind, a bundle or a bare ``.onnx``: once per command.

    Raises:
        BundleError: It does not exist, is damaged or altered, or is no model file.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        bundle = read_bundle(path)
        if bundle.manifest.export is None or GRAPH not in bundle.files:
            return bundle
        # The graph carries a copy of the manifest, which must not outlive a change.
        try:
            bare, _ = split(bundle.files[GRAPH])
        except ValueError as error:
            raise BundleError(f"{path} cannot be used: its graph is damaged ({error}).") from error
        return Bundle(bundle.manifest, {**bundle.files, GRAPH: bare})
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise BundleError(f"{path} {found}. Expected a model file, as `blemish export` writes it.")
    bundle = read_onnx(path)
    if bundle.manifest.export is None:
        raise BundleError(f"{path} is an ONNX file with the manifest of a trained model.")
    return bundle


def model_manifest(path: str | Path) -> Manifest:
    """What a model file of either kind says of itself, without loading weights where it can.

    Raises:
        BundleError: As :func:`read_model`.
    """
    bare = Path(path).suffix.lower() == ".onnx"
    return read_model(path).manifest if bare else read_manifest(path)
