"""Whether a graph points at files beside itself. A reader of the protobuf wire format, so that onnx is not needed.

A graph that names external data would make the runtime open whatever path it says; artifacts here are one file.
"""

from collections.abc import Iterator
from typing import Final

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_INSIDE: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_FIELDS: Final = frozenset({13, 14})  # TensorProto.external_data, TensorProto.data_location


def has_external_data(model: bytes) -> bool:
    """True when a tensor of the model lies in another file. Raises ValueError when the bytes are no protobuf."""
    return any(_external(memoryview(model), "model"))


def _external(message: memoryview, kind: str) -> Iterator[bool]:
    for field, value in _fields(message):
        if kind == "tensor":
            if field in _EXTERNAL_FIELDS and value:
                yield True
        elif field in _INSIDE[kind] and isinstance(value, memoryview):
            yield from _external(value, _INSIDE[kind][field])


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
        elif wire == _BYTES:
            size, at = _varint(message, at)
            if at + size > end:
                raise ValueError("the file ends within a field")
            yield key >> 3, message[at : at + size]
            at += size
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
        else:
            raise ValueError("the file is not in ONNX's format")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while at < len(message) and shift < 70:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("the file ends within a number")
