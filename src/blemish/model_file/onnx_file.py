"""The manifest inside a bare ``.onnx`` file, read and written without the onnx package.

An ONNX file is one protobuf message, and its ``metadata_props`` are entries of the outermost
level. So a manifest is appended to a graph's bytes, and taken off again, without a parser of the
graph: fields of a message may come in any order, and each begins with its number and length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from blemish.errors import BundleError
from blemish.model_file.bundle import Bundle, Manifest, parse_manifest, seal

#: Name of the graph among the members of a manifest.
GRAPH = "model.onnx"
_KEY = b"blemish"
_METADATA_PROPS = 14  # field of ModelProto: StringStringEntryProto {key = 1, value = 2}
_REMEDY = "Copy the file again from its source, or export again."


def with_manifest(graph: bytes, manifest: Manifest) -> bytes:
    """The bytes of an ONNX file that carries ``manifest``; one it carries already is replaced.

    Example:
        >>> from blemish.model_file.onnx_file import with_manifest
        >>> callable(with_manifest)
        True
    """
    bare, _ = split(graph)
    _, text = seal(manifest, {GRAPH: bare})
    entry = _field(1, _KEY) + _field(2, text)
    return bare + _field(_METADATA_PROPS, entry)


def split(content: bytes) -> tuple[bytes, bytes | None]:
    """An ONNX file's bytes without blemish's manifest, and the manifest's text if it has one.

    Raises:
        ValueError: The bytes are not a protobuf message.
    """
    kept, text = [], None
    for number, start, body, end in _fields(content):
        if number == _METADATA_PROPS and body is not None:
            entry = content[body:end]
            values = {n: entry[b:e] for n, _, b, e in _fields(entry) if b is not None}
            if values.get(1) == _KEY:
                text = values.get(2, b"")
                continue
        kept.append(content[start:end])
    return b"".join(kept), text


def read_onnx(path: Path) -> Bundle:
    """A bare ONNX file as a model file's content, checked.

    Raises:
        BundleError: It is no ONNX file of blemish's, is cut short, or was altered.
    """
    try:
        bare, text = split(path.read_bytes())
    except (ValueError, OSError) as error:
        raise BundleError(f"{path} cannot be read as an ONNX file ({error}). {_REMEDY}") from error
    if text is None:
        raise BundleError(
            f"{path} is an ONNX file, but carries no blemish manifest. Expected one that "
            "`blemish export MODEL -o NAME.onnx` wrote."
        )
    manifest = parse_manifest(path, text)
    if hashlib.sha256(bare).hexdigest() != manifest.files.get(GRAPH):
        raise BundleError(f"{path}: the graph was altered after the model was saved. {_REMEDY}")
    return Bundle(manifest, {GRAPH: bare})


def _fields(content: bytes) -> Iterator[tuple[int, int, int | None, int]]:
    """Number, start, start of the body (length-delimited fields only) and end of every field."""
    position = 0
    while position < len(content):
        start = position
        tag, position = _varint(content, position)
        body: int | None = None
        wire = tag & 7
        if wire == 0:
            _, position = _varint(content, position)
        elif wire == 2:
            length, body = _varint(content, position)
            position = body + length
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        else:
            raise ValueError(f"byte {start} begins no field")
        if tag >> 3 == 0 or position > len(content):
            raise ValueError(f"the field at byte {start} is cut short")
        yield tag >> 3, start, body, position


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            raise ValueError("it ends within a field")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"byte {position} begins no number")


def _field(number: int, body: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(body)) + body


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
