"""What both encodings of trees are written with: attributes with many numbers, and the nodes as a whole.

Attributes are filled directly: `helper.make_attribute` looks at every number several times, in Python.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from autoopt.strategies.trees.arrays import Ints

ML_DOMAIN: Final = "ai.onnx.ml"
RAW: Final = "raw"
"""Output of the encoded trees: float32 (rows, outputs), sums or means over the trees."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Nodes from FEATURES to RAW, the constants they read, and the version of `ai.onnx.ml` they belong to."""

    nodes: tuple[onnx.NodeProto, ...]
    constants: tuple[onnx.TensorProto, ...] = ()
    ml_opset: int


def ints_attribute(name: str, values: NDArray[Any]) -> onnx.AttributeProto:
    """A list of whole numbers."""
    attribute = onnx.AttributeProto(name=name, type=onnx.AttributeProto.INTS)
    attribute.ints.extend(values.tolist())
    return attribute


def floats_attribute(name: str, values: NDArray[np.float32]) -> onnx.AttributeProto:
    """A list of float32 numbers."""
    attribute = onnx.AttributeProto(name=name, type=onnx.AttributeProto.FLOATS)
    attribute.floats.extend(values.tolist())
    return attribute


def text_attribute(name: str, value: bytes) -> onnx.AttributeProto:
    """A text."""
    return onnx.AttributeProto(name=name, type=onnx.AttributeProto.STRING, s=value)


def texts_attribute(name: str, index: Ints, values: Sequence[bytes]) -> onnx.AttributeProto:
    """A list of texts: `values[i]` for each i of `index`."""
    attribute = onnx.AttributeProto(name=name, type=onnx.AttributeProto.STRINGS)
    attribute.strings.extend(np.array(values, dtype=object)[index].tolist())
    return attribute


def tensor_attribute(name: str, values: NDArray[Any]) -> onnx.AttributeProto:
    """An array in its own type, without tags between the numbers."""
    attribute = onnx.AttributeProto(name=name, type=onnx.AttributeProto.TENSOR)
    attribute.t.CopyFrom(numpy_helper.from_array(values, name=""))
    return attribute
