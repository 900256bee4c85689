"""Where the preprocessing of a pipeline of autoopt's ends, told by the names that `stages.join` and `averaging` give.

Only what lies behind it is a model's, which may be quantized; a graph of others has no such part.
"""

import re
from typing import Final

import onnx

PRODUCER: Final = "autoopt"
_PREPARE: Final = re.compile(r"(_*member\d+/)?_*prepare/")


def is_preprocessing(node: onnx.NodeProto) -> bool:
    """Whether a node of a pipeline of autoopt's comes before its model."""
    return any(_PREPARE.match(name) for name in node.output)


def model_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes of a graph that are not a pipeline's preprocessing, in their order."""
    if model.producer_name != PRODUCER:
        return list(model.graph.node)
    return [node for node in model.graph.node if not is_preprocessing(node)]
