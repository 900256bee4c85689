"""Networks of convolutions: told apart from others, as int8 serves them otherwise."""

import math
from typing import Final

import onnx

CONVOLUTION: Final = "Conv"
PRODUCTS: Final = ("Gemm", "MatMul")
BETWEEN: Final = ("Relu", "Clip", "MaxPool", "Add")
"""What lies between convolutions and can stay in int8."""


def mostly_convolutions(model: onnx.ModelProto) -> bool:
    """Whether more of the weights belong to convolutions than to other products."""
    sizes = {i.name: math.prod(i.dims) for i in model.graph.initializer}

    def weights(*types: str) -> int:
        return sum(sizes.get(n.input[1], 0) for n in model.graph.node if n.op_type in types)

    return weights(CONVOLUTION) > weights(*PRODUCTS)


def in_int8(model: onnx.ModelProto) -> tuple[str, ...]:
    """The operators that static int8 computes in integers: convolutions only where there is little else."""
    return (CONVOLUTION, *PRODUCTS) if mostly_convolutions(model) else PRODUCTS
