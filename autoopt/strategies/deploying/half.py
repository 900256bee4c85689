"""Weights in half precision: half the file, and the arithmetic of float32.

Each large weight is kept in 16 bits with a Cast to float32 in front of what reads it. The runtime folds the Cast when
it loads the graph, so that a call costs what it costs in float; only loading takes a little longer.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FP16, BF16 = "fp16", "bf16"
HALVES: Final = (FP16, BF16)
_TYPES: Final = {FP16: TensorProto.FLOAT16, BF16: TensorProto.BFLOAT16}
_LARGEST: Final = {FP16: 65504.0, BF16: 3.3895313892515355e38}
WEIGHTS: Final[Mapping[str, tuple[int, ...]]] = {
    "MatMul": (0, 1),
    "Gemm": (0, 1),
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gather": (0,),
    "RNN": (1, 2),
    "GRU": (1, 2),
    "LSTM": (1, 2),
}
"""Which inputs of an operator may be weights."""
SMALLEST: Final = 256
"""Numbers below which a Cast and a name more take what half the bytes save."""


def half_weights(model: onnx.ModelProto, form: str) -> onnx.ModelProto:
    """The graph with the weights of products, convolutions and embeddings in 16 bits: 'fp16' or 'bf16'.

    A tensor with a number beyond that format's range, or one that is not finite, stays float.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    given = {value.name for value in graph.input}  # the caller may replace these
    read = set(_weights(graph)) - given
    casts = []
    for initializer in graph.initializer:
        if initializer.name not in read or not _is_worth_it(initializer):
            continue
        values = numpy_helper.to_array(initializer)
        if not np.abs(values).max() <= _LARGEST[form]:
            continue
        name = initializer.name
        halved = values.astype(helper.tensor_dtype_to_np_dtype(_TYPES[form]))
        initializer.CopyFrom(numpy_helper.from_array(halved, f"{name}/{form}"))
        cast = helper.make_node("Cast", [initializer.name], [name], name=f"{name}/float", to=TensorProto.FLOAT)
        casts.append(cast)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(changed, full_check=True)
    return changed


def _weights(graph: onnx.GraphProto) -> Iterator[str]:
    """Names of what its nodes take as weights."""
    for node in graph.node:
        for place in WEIGHTS.get(node.op_type, ()):
            yield from node.input[place : place + 1]


def _is_worth_it(initializer: onnx.TensorProto) -> bool:
    return initializer.data_type == TensorProto.FLOAT and int(np.prod(initializer.dims)) >= SMALLEST
