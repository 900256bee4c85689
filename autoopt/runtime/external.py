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
_KEY: Final = b"location"
"""The entry without which a tensor is in no file. A message without these bytes need not be looked into: the numbers
of a large forest, one field each, would take longer to walk than the runtime takes to load it."""


def has_external_data(model: bytes) -> bool:
    """True when a tensor of the model lies in another file. Raises ValueError when the bytes are no protobuf."""
    try:
        return any(_external(model, 0, len(model), "model"))
    except RecursionError:
        raise ValueError("its graphs lie in each other too deep") from None


def _external(model: bytes, at: int, end: int, kind: str) -> Iterator[bool]:
    """True for each external tensor of the message model[at:end]."""
    for field, start, stop in _fields(model, at, end):
        if kind == "tensor":
            if field in _EXTERNAL_FIELDS and (stop > start + 1 or model[start:stop] not in (b"", b"\0")):
                yield True
        elif field in _INSIDE[kind] and model.find(_KEY, start, stop) >= 0:
            yield from _external(model, start, stop, _INSIDE[kind][field])


def _fields(model: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, first byte of the content, byte behind it) of each field of the message model[at:end]."""
    while at < end:
        key, at = _varint(model, at, end)
        wire, start = key & 7, at
        if wire == _VARINT:
            _, at = _varint(model, at, end)
        elif wire == _BYTES:
            size, start = _varint(model, at, end)
            at = start + size
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
        else:
            raise ValueError("the file is not in ONNX's format")
        if at > end:
            raise ValueError("the file ends within a field")
        yield key >> 3, start, at


def _varint(model: bytes, at: int, end: int) -> tuple[int, int]:
    value, shift = 0, 0
    while at < end and shift < 70:
        byte = model[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("the file ends within a number")
