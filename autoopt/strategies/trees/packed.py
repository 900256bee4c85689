"""Write an ONNX model with its lists of numbers packed: the same model, read by every parser, in fewer bytes.

ONNX's schema writes a tag before each number of an attribute's list. The wire format of Protocol Buffers also has
packed lists, one tag for all numbers, and obliges every parser to read both. Trees are mostly such lists.
Source: https://protobuf.dev/programming-guides/encoding/#packed
"""

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

_LENGTH_DELIMITED: Final = 2
_MODEL_GRAPH: Final = 7  # field numbers of onnx.proto
_GRAPH_NODE: Final = 1
_NODE_ATTRIBUTE: Final = 5
_ATTRIBUTE_FLOATS: Final = 7
_ATTRIBUTE_INTS: Final = 8


def packed_bytes(model: onnx.ModelProto) -> bytes:
    """The model's file, which is read back as a model equal to this one. Inner graphs stay as they are."""
    graph = b"".join(_field(_GRAPH_NODE, _node(node)) for node in model.graph.node)
    shell = onnx.ModelProto()
    shell.CopyFrom(model)
    shell.graph.ClearField("node")
    rest = shell.graph.SerializeToString(deterministic=True)
    shell.ClearField("graph")
    return bytes(shell.SerializeToString(deterministic=True)) + _field(_MODEL_GRAPH, graph + rest)


def _node(node: onnx.NodeProto) -> bytes:
    attributes = b"".join(_field(_NODE_ATTRIBUTE, _attribute(a)) for a in node.attribute)
    shell = onnx.NodeProto()
    shell.CopyFrom(node)
    shell.ClearField("attribute")
    return bytes(shell.SerializeToString(deterministic=True)) + attributes


def _attribute(attribute: onnx.AttributeProto) -> bytes:
    ints = np.array(attribute.ints, dtype=np.int64)
    floats = np.array(attribute.floats, dtype="<f4")
    shell = onnx.AttributeProto()
    shell.CopyFrom(attribute)
    shell.ClearField("ints")
    shell.ClearField("floats")
    written = bytes(shell.SerializeToString(deterministic=True))
    written += _field(_ATTRIBUTE_INTS, _varints(ints)) if len(ints) else b""
    return written + (_field(_ATTRIBUTE_FLOATS, floats.tobytes()) if len(floats) else b"")


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field: tag, length, content."""
    head = np.array([number << 3 | _LENGTH_DELIMITED, len(content)], dtype=np.int64)
    return _varints(head) + content


def _varints(values: NDArray[np.int64]) -> bytes:
    """Base-128 varints, seven bits a byte, lowest first; negative numbers as their 64-bit complement."""
    left = values.astype(np.uint64)
    bytes_of: list[NDArray[np.uint8]] = []
    used: list[NDArray[np.bool_]] = []
    while not bytes_of or left.any():
        used.append((left > 0) | (not bytes_of))
        low = (left & np.uint64(127)).astype(np.uint8)
        left = left >> np.uint64(7)
        bytes_of.append(low | np.where(left > 0, 128, 0).astype(np.uint8))
    return bytes(np.stack(bytes_of, axis=1)[np.stack(used, axis=1)].tobytes())
