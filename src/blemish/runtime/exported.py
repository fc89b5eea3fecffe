"""An exported model: judges images as the trained one does, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from blemish._files import atomic_write
from blemish.calibration.limits import Calibration
from blemish.data.images.preprocess import Preprocessing
from blemish.errors import BundleError, CalibrationError, ConfigError
from blemish.inspection.network import Network
from blemish.inspector import Inspector
from blemish.model_file.bundle import Bundle, ExportEntry, Manifest, read_bundle, seal, write_bundle
from blemish.model_file.onnx_file import GRAPH, read_onnx, split, with_manifest
from blemish.runtime.networks import build_network


class ExportedDetector(Inspector):
    """An exported model; :func:`load` opens one.

    Predicts, calibrates and evaluates as :class:`blemish.detector.Detector` does, by the same
    lines: the two differ in what computes the network.

    Attributes:
        manifest: What its file says of it.
        preprocessing: How an image becomes the network's input.

    Example:
        >>> from blemish.errors import BundleError
        >>> from blemish.runtime import load
        >>> try:
        ...     load("missing.onnx")
        ... except BundleError as error:
        ...     print(error)
        missing.onnx does not exist. Expected a model file, as `blemish export` writes it.
    """

    def __init__(
        self,
        manifest: Manifest,
        files: Mapping[str, bytes],
        *,
        preprocessing: Preprocessing,
        calibration: Calibration | None,
        network: Network,
    ) -> None:
        self.manifest = manifest
        self.preprocessing = preprocessing
        self.calibration = calibration
        self.products = manifest.products
        self.bit_depth = preprocessing.bit_depth
        self.network = network
        self._files = dict(files)

    @property
    def export(self) -> ExportEntry:
        """What the graph is: format, precision, and what the comparison with torch found."""
        assert self.manifest.export is not None  # load() checked it
        return self.manifest.export

    @property
    def branch_names(self) -> tuple[str, ...]:
        return self.export.branches

    def ready(self) -> tuple[Network, Preprocessing]:
        return self.network, self.preprocessing

    def save(self, path: str | Path) -> None:
        """Write the model with its limits as they are now: ``.onnx`` bare, else as a bundle.

        Raises:
            ConfigError: The folder cannot be written to, or a graph of another format is to be
                written as ``.onnx``.
        """
        calibration = None if self.calibration is None else self.calibration.to_json()
        changes: dict[str, object] = {"calibration": calibration}
        before = (self.manifest.calibration or {}).get("groups")
        if calibration is not None and calibration["groups"] != before:
            # Not the rates alone: the limits are now from this graph's own scores.
            changes["export"] = self.export.model_copy(update={"recalibrated": True})
        self.manifest = write_exported(path, self.manifest.model_copy(update=changes), self._files)


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


def read_exported(path: str | Path) -> Bundle:
    """Read and check a file of an exported model, a bundle or a bare ``.onnx``.

    Raises:
        BundleError: It does not exist, is damaged or altered, or is not an exported model.
    """
    path = Path(path)
    if path.suffix.lower() == ".onnx":
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "does not exist"
            raise BundleError(
                f"{path} {found}. Expected a model file, as `blemish export` writes it."
            )
        bundle = read_onnx(path)
    else:
        bundle = read_bundle(path)
    if bundle.manifest.export is None:
        raise BundleError(
            f"{path} is a trained model, which needs torch. Open it with blemish.open_model(), or "
            f"export it: blemish export {path}"
        )
    if GRAPH not in bundle.files:
        return bundle
    # In a bundle the graph carries a copy of the manifest, which must not outlive a change.
    try:
        bare, _ = split(bundle.files[GRAPH])
    except ValueError as error:
        raise BundleError(f"{path} cannot be used: its graph is damaged ({error}).") from error
    return Bundle(bundle.manifest, {**bundle.files, GRAPH: bare})


def load(path: str | Path, *, threads: int | None = None) -> ExportedDetector:
    """Open an exported model.

    Args:
        path: What ``blemish export`` wrote, ``.blemish`` or ``.onnx``.
        threads: Threads of one call of the network; ``None`` for all cores of this process.

    Raises:
        BundleError: The file is missing, damaged, altered, of a newer schema, or not exported.
        MissingExtraError: It needs OpenVINO, which is not installed.

    Example: see ``docs/export.md``.
    """
    bundle = read_exported(path)
    manifest = bundle.manifest
    assert manifest.export is not None  # read_exported checked it
    try:
        preprocessing = Preprocessing.from_json(manifest.preprocessing)
        calibration = (
            None if manifest.calibration is None else Calibration.from_json(manifest.calibration)
        )
    except (ConfigError, CalibrationError) as error:
        raise BundleError(f"{path} cannot be used: {error}") from error
    files = dict(bundle.files)
    entry = manifest.export
    try:
        network = build_network(entry.format, files, entry.branches, threads=threads)
    except BundleError as error:
        raise BundleError(f"{path} cannot be used: {error}") from error
    return ExportedDetector(
        manifest, files, preprocessing=preprocessing, calibration=calibration, network=network
    )
