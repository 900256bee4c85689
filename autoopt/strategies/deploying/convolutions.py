"""Networks of convolutions: told apart from others, as int8 serves them otherwise."""

import math
from typing import Final

import onnx

CONVOLUTION: Final = "Conv"
PRODUCTS: Final = ("Gemm", "MatMul")
BETWEEN: Final = ("Relu", "Clip", "MaxPool", "Add")
"""What lies between convolutions and can stay in int8."""
MULTIPLICATION: Final = "Mul"
_SHAPES: Final = ("Unsqueeze", "Squeeze", "Transpose", "Reshape", "Expand")
_TRUTHS: Final = ("Not", "And", "Or", "Equal", "Greater", "Less")


def mostly_convolutions(model: onnx.ModelProto) -> bool:
    """Whether more of the weights belong to convolutions than to other products."""
    sizes = {i.name: math.prod(i.dims) for i in model.graph.initializer}

    def weights(*types: str) -> int:
        return sum(sizes.get(n.input[1], 0) for n in model.graph.node if n.op_type in types)

    return weights(CONVOLUTION) > weights(*PRODUCTS)


def in_int8(model: onnx.ModelProto) -> tuple[str, ...]:
    """The operators that static int8 computes in integers: convolutions only where there is little else."""
    return (CONVOLUTION, *PRODUCTS) if mostly_convolutions(model) else PRODUCTS


def loses_nothing(model: onnx.ModelProto) -> frozenset[str]:
    """Names of the multiplications by a mask of zeros and ones, which int8 computes exactly; as in texts, for padding.

    Of others it would round the result: a gate between 0 and 1 has few levels.
    """
    made_by = {output: node for node in model.graph.node for output in node.output}

    def origin(value: str) -> onnx.NodeProto | None:
        node = made_by.get(value)
        while node is not None and node.op_type in _SHAPES:
            node = made_by.get(node.input[0])
        return node

    def is_mask(value: str) -> bool:
        cast = origin(value)
        truth = None if cast is None or cast.op_type != "Cast" else origin(cast.input[0])
        return truth is not None and truth.op_type in _TRUTHS

    products = (node for node in model.graph.node if node.op_type == MULTIPLICATION)
    return frozenset(node.name for node in products if any(map(is_mask, node.input)))
