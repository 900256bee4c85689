"""Tables of embeddings in int8: most of the bytes of a network that reads texts."""

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

SMALLEST: Final = 4096
"""Numbers of a table below which a scale for each column, and a node more, gain nothing worth having."""
STEPS: Final = 127


def int8_embeddings(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with each large float table that is only looked up (Gather) in int8, a scale for each column.

    Rows are made float after they were looked up: a quarter of the bytes, and no row is computed that is not asked
    for. Zeros stay exactly zero, so padding says nothing in int8 either.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    for initializer in list(graph.initializer):
        users = [node for node in graph.node if initializer.name in node.input]
        if not users or not _is_table(initializer) or not all(_looks_up(node, initializer.name) for node in users):
            continue
        codes, scales = quantized_columns(numpy_helper.to_array(initializer))
        names = f"{initializer.name}_int8", f"{initializer.name}_scales"
        graph.initializer.remove(initializer)
        graph.initializer.extend([numpy_helper.from_array(codes, names[0]), numpy_helper.from_array(scales, names[1])])
        for node in users:
            node.input[0] = names[0]
            rows = f"{node.output[0]}_int8"
            float_rows = helper.make_node(
                "DequantizeLinear", [rows, names[1]], [node.output[0]], name=f"{rows}_dequantize", axis=-1
            )
            node.output[0] = rows
            graph.node.insert(list(graph.node).index(node) + 1, float_rows)
    onnx.checker.check_model(changed, full_check=True)
    return changed


def quantized_columns(table: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A table (rows, n) in int8 and the scale of each column (n,): about table = codes * scales."""
    scales = np.maximum(np.abs(table).max(axis=0) / STEPS, np.finfo(np.float32).tiny).astype(np.float32)
    codes = np.clip(np.round(table / scales), -STEPS, STEPS).astype(np.int8)
    return codes, scales


def _is_table(initializer: onnx.TensorProto) -> bool:
    size = int(np.prod(initializer.dims))
    return initializer.data_type == onnx.TensorProto.FLOAT and len(initializer.dims) == 2 and size >= SMALLEST


def _looks_up(node: onnx.NodeProto, name: str) -> bool:
    """Whether a node takes whole rows of that table, and does nothing else with it."""
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    return node.op_type == "Gather" and axis == 0 and node.input[0] == name and name not in list(node.input)[1:]
