"""ONNX metadata: the manifest inside a bare ``.onnx`` file, without the onnx package.

A line PC sets new limits in a bare graph, and has ONNX Runtime alone, which reads metadata (of a
session, opened for it) but writes none, and knows nothing of the bytes that a digest is taken of.
An ONNX file is one protobuf message whose fields may come in any order, and its metadata is a
field of the outermost level: so the manifest is appended to a graph's bytes, and found again by
its key. No other part of the message need be understood.
"""

from __future__ import annotations

#: Field 14 of a ModelProto, an entry of ``metadata_props``: {key = 1, value = 2}.
_ENTRY = b"\x72"
_KEY = b"\x0a\x07blemish\x12"  # up to the tag of the value; JSON has no such characters


def with_text(graph: bytes, text: bytes) -> bytes:
    """The bytes of an ONNX file that carries a manifest's text; one it carries is replaced."""
    return split(graph)[0] + _field(text)


def split(content: bytes) -> tuple[bytes, bytes | None]:
    """An ONNX file's bytes without blemish's manifest, and the manifest's text if it has one.

    Raises:
        ValueError: The manifest is cut short or damaged.
    """
    key = content.rfind(_KEY)
    if key < 0:
        return content, None
    length, start = _length(content, key + len(_KEY))
    text = content[start : start + length]
    end, field = start + len(text), _field(text)
    if len(text) < length or content[end - len(field) : end] != field:
        raise ValueError("its manifest is cut short or damaged")
    return content[: end - len(field)] + content[end:], text


def _field(text: bytes) -> bytes:
    """The metadata entry that holds a manifest's text."""
    entry = _KEY + _varint(len(text)) + text
    return _ENTRY + _varint(len(entry)) + entry


def _varint(value: int) -> bytes:
    """Protobuf's encoding of a length: seven bits a byte, the lowest first."""
    more, last = value >> 7, value & 0x7F
    return bytes([last | 0x80]) + _varint(more) if more else bytes([last])


def _length(content: bytes, at: int) -> tuple[int, int]:
    """The length encoded at a position, and the position after it."""
    value = 0
    for place, byte in enumerate(content[at : at + 5]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("its manifest is cut short or damaged")
