"""The model file ``.blemish``: a zip of a manifest and plain weights or a graph, no code.

One file holds everything a prediction needs, teacher included. It is written whole or not at all,
and all its content is checked on reading: each member's SHA-256 stands in the manifest, the
manifest's own in its ``digest``, and no member is accepted that the manifest does not list. That
finds damage, not forgery: who can write the file can write the digests.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from blemish._files import atomic_write
from blemish.errors import BundleError, ConfigError
from blemish.model_file.onnx_file import split, with_text
from blemish.stores.urls import as_url, shown

#: 2: settings without stand-ins for "decide yourself", and the good images kept a row each.
#: 3: the trio's scores by the root of a place's long tail, to which its limits belong.
#: 4: the trio's map by plain distances, to which its map limits belong.
SCHEMA_VERSION = 4
_MANIFEST = "manifest.json"
#: Name of an exported model's graph among the members.
GRAPH = "model.onnx"


class TeacherEntry(BaseModel):
    """The teacher a model was trained with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str
    pretrained: bool


class ExportEntry(BaseModel):
    """What an exported model says of its graph.

    Attributes:
        format: ``onnx``, or ``openvino`` for OpenVINO's intermediate representation.
        precision: ``float32``, or ``int8`` for a quantised graph.
        source_digest: Manifest digest of the trained model it was made from.
        branches: Names of the method's branches, in the order of the graph's outputs.
        parity: What the comparison with the trained model found, see
            :class:`blemish.export.parity.Parity`.
        recalibrated: True where the limits are from scores of the exported graph itself.
        versions: Versions of the software that exported it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["onnx", "openvino"]
    precision: Literal["float32", "int8"]
    source_digest: str
    branches: tuple[str, ...] = ()
    parity: dict[str, Any] = {}
    recalibrated: bool = False
    versions: dict[str, str] = {}


class Manifest(BaseModel):
    """What a model file says of itself.

    Attributes:
        schema_version: Version of this structure.
        kind: ``trained`` for weights, ``exported`` for a graph that runs without torch.
        method: Name of the system.
        config: The system's settings.
        teacher: Name and digest of the teacher.
        preprocessing: See :class:`blemish.data.images.preprocess.Preprocessing`.
        products: Names of the products it was trained on.
        calibration: See :class:`blemish.calibration.limits.Calibration`, or ``None``.
        training: What it was trained on: counts, fingerprint, seed, wall time.
        versions: Versions of the software that wrote it.
        created: UTC time of writing.
        files: SHA-256 of each other member.
        digest: SHA-256 of the manifest without this field.
        export: What the graph is, in an exported model; ``None`` in a trained one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    kind: str = "trained"
    method: str
    config: dict[str, Any]
    teacher: TeacherEntry
    preprocessing: dict[str, Any]
    products: tuple[str, ...]
    calibration: dict[str, Any] | None
    training: dict[str, Any]
    versions: dict[str, str]
    created: str
    files: dict[str, str] = {}
    digest: str = ""
    export: ExportEntry | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values. A trained model's has no ``export``: older versions read it."""
        content = self.model_dump(mode="json")
        if content["export"] is None:
            del content["export"]
        return content


@dataclass(frozen=True)
class Bundle:
    """A model file's content, checked.

    Attributes:
        manifest: What it says of itself.
        files: The other members by name.
    """

    manifest: Manifest
    files: Mapping[str, bytes] = field(repr=False)


def write_bundle(path: str | Path, manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Write a model file; an existing one is replaced only once the new one is complete.

    Returns:
        The manifest as written, with the digests filled in.

    Raises:
        ConfigError: The folder does not exist or cannot be written to.

    Example: see :meth:`blemish.detector.Detector.save`.
    """
    manifest, text = seal(manifest, files)
    with (
        atomic_write(path) as file,
        # Weights do not compress; the rest is small.
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name, content in ((_MANIFEST, text), *files.items()):
            # A fixed time: the same model gives the same member, whenever it is written.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return manifest


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
            files = {**files, GRAPH: _with_manifest(files[GRAPH], manifest)[0]}
        return write_bundle(path, manifest, files)
    if GRAPH not in files:
        raise ConfigError(f"{path}: this model is not in ONNX format. Give a name in .blemish.")
    content, manifest = _with_manifest(files[GRAPH], manifest)
    with atomic_write(path) as file:
        file.write(content)
    return manifest


def _with_manifest(graph: bytes, manifest: Manifest) -> tuple[bytes, Manifest]:
    """A graph that carries its manifest, and the manifest as it stands there."""
    bare, _ = split(graph)
    manifest, text = seal(manifest, {GRAPH: bare})
    return with_text(bare, text), manifest


def seal(manifest: Manifest, files: Mapping[str, bytes]) -> tuple[Manifest, bytes]:
    """The manifest with the digests of ``files`` and its own, and its text for the model file."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = manifest.model_copy(update={"files": digests, "digest": ""})
    manifest = manifest.model_copy(update={"digest": _digest(manifest.to_json())})
    return manifest, json.dumps(manifest.to_json(), indent=1, allow_nan=False).encode()


def read_manifest(path: str | Path) -> Manifest:
    """The checked manifest alone, without reading the weights.

    Raises:
        BundleError: As :func:`read_bundle`.
    """
    with _open(Path(path)) as archive:
        return _manifest(Path(path), archive)


def read_bundle(path: str | Path) -> Bundle:
    """Read and check a model file.

    Raises:
        BundleError: It does not exist, is not a model file, is cut short or altered, or is of
            another schema.

    Example:
        >>> from blemish.errors import BundleError
        >>> from blemish.model_file.bundle import read_bundle
        >>> try:
        ...     read_bundle("missing.blemish")
        ... except BundleError as error:
        ...     print(error)
        missing.blemish does not exist. Expected a model file, as `blemish fit` writes it.
    """
    path = Path(path)
    with _open(path) as archive:
        manifest = _manifest(path, archive)
        files = {name: _member(path, archive, name) for name in manifest.files}
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != manifest.files[name]:
            raise BundleError(f"{path}: {name} was altered after the model was saved. {_REMEDY}")
    return Bundle(manifest, files)


def read_model(path: str | Path) -> Bundle:
    """Read and check a model file of either kind, a bundle or a bare ``.onnx``: once per command.

    Raises:
        BundleError: It does not exist, is damaged or altered, or is no model file.
    """
    path = Path(path)
    if path.suffix.lower() == ".onnx":
        return _read_onnx(path)
    bundle = read_bundle(path)
    if bundle.manifest.export is None or GRAPH not in bundle.files:
        return bundle
    # The graph carries a copy of the manifest, which must not outlive a change.
    try:
        bare, _ = split(bundle.files[GRAPH])
    except ValueError as error:
        raise BundleError(f"{path} cannot be used: its graph is damaged ({error}).") from error
    return Bundle(bundle.manifest, {**bundle.files, GRAPH: bare})


def _read_onnx(path: Path) -> Bundle:
    if not as_url(path) and not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise BundleError(f"{path} {found}. Expected a model file, as `blemish export` writes it.")
    try:
        bare, text = split(_fetched(path) if as_url(path) else path.read_bytes())
    except (ValueError, OSError) as error:
        raise BundleError(
            f"{path} cannot be read as an ONNX file ({error}). {_EXPORT_AGAIN}"
        ) from error
    if text is None:
        raise BundleError(
            f"{path} carries no blemish manifest, or was cut short. Expected an ONNX file that "
            "`blemish export MODEL -o NAME.onnx` wrote."
        )
    manifest = parse_manifest(path, text)
    if hashlib.sha256(bare).hexdigest() != manifest.files.get(GRAPH):
        raise BundleError(
            f"{path}: the graph was altered after the model was saved. {_EXPORT_AGAIN}"
        )
    if manifest.export is None:
        raise BundleError(f"{path} is an ONNX file with the manifest of a trained model.")
    return Bundle(manifest, {GRAPH: bare})


def model_manifest(path: str | Path) -> Manifest:
    """What a model file of either kind says of itself, without loading weights where it can.

    Raises:
        BundleError: As :func:`read_model`.
    """
    bare = Path(path).suffix.lower() == ".onnx"
    return read_model(path).manifest if bare else read_manifest(path)


_EXPORT_AGAIN = "Copy the file again from its source, or export again."
_REMEDY = "Copy the file again from its source, or train again."


def _fetched(path: Path) -> bytes:
    """The content of a remote model file."""
    from blemish.stores.remote import read_bytes

    try:
        return read_bytes(path)
    except FileNotFoundError as error:
        raise BundleError(f"{shown(path)} does not exist. Expected a model file.") from error


def _open(path: Path) -> zipfile.ZipFile:
    source: Path | io.BytesIO = path
    if as_url(path):
        source = io.BytesIO(_fetched(path))
    elif not path.exists():
        raise BundleError(
            f"{path} does not exist. Expected a model file, as `blemish fit` writes it."
        )
    elif path.is_dir():
        raise BundleError(f"{path} is a folder. Expected a model file ending in .blemish.")
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                zipped = file.read(2) == b"PK"
        else:
            zipped = source.getvalue()[:2] == b"PK"
        return zipfile.ZipFile(source)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error}). Check its permissions.") from error
    except Exception as error:  # a damaged directory can raise nearly anything
        found = "is cut short or damaged" if zipped else "is not a blemish model file"
        raise BundleError(f"{path} {found} ({error}). {_REMEDY}") from error


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise BundleError(f"{path} lacks {name}: it is not a whole model file. {_REMEDY}") from None
    # Written without compression, and so never larger in memory than on disk.
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise BundleError(f"{path}: {name} was not stored as blemish stores it. {_REMEDY}")
    try:
        return archive.read(entry)
    except Exception as error:  # a damaged entry can raise nearly anything
        raise BundleError(f"{path}: {name} is damaged ({error}). {_REMEDY}") from error


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    manifest = parse_manifest(path, _member(path, archive, _MANIFEST))
    foreign = Counter(archive.namelist()) - Counter([_MANIFEST, *manifest.files])
    if foreign:
        raise BundleError(
            f"{path}: {next(iter(foreign))} was added after the model was saved. {_REMEDY}"
        )
    return manifest


def parse_manifest(path: Path, text: bytes | str) -> Manifest:
    """The manifest in ``text``, checked; ``path`` is named in errors.

    Raises:
        BundleError: It is not a manifest, was altered, or is of another schema.
    """
    try:
        content = json.loads(text)
        version = content["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleError(f"{path}: its manifest is not a blemish manifest. {_REMEDY}") from None
    if type(version) is int and 1 <= version < SCHEMA_VERSION:
        raise BundleError(
            f"{path} has schema version {version}, of an earlier blemish; this one reads "
            f"{SCHEMA_VERSION}. Train the model again with this version."
        )
    if version != SCHEMA_VERSION or type(version) is not int:
        raise BundleError(
            f"{path} has schema version {version}; this blemish reads {SCHEMA_VERSION}. "
            'Upgrade: pip install --upgrade "blemish[train]"'
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(f"{path}: manifest field {where}: {first['msg']}. {_REMEDY}") from error
    if _digest({**content, "digest": ""}) != manifest.digest:
        raise BundleError(f"{path}: the manifest was altered after the model was saved. {_REMEDY}")
    return manifest


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
