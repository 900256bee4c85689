#!/usr/bin/env python3
"""Write autoopt/runtime/reference.onnx: the graph that measures the machine's speed.

Run it only to change the reference: every stored ratio refers to the graph that was there when it was taken.
Usage: python scripts/make_reference_graph.py [PATH]
"""

import itertools
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto

from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import FEATURES, SCORES

WIDTHS = (64, 256, 256, 10)


def weights(graph: GraphBuilder, rows: int, columns: int) -> str:
    """sin(0), sin(1), sin(4), sin(9), ...: as good as random, computed once by the runtime when it folds constants."""
    ramp = graph.add("Range", *(graph.constant(v, np.float64) for v in (0.0, float(rows * columns), 1.0)))
    waves = graph.add("Sin", graph.add("Mul", ramp, ramp))
    scaled = graph.add("Div", waves, graph.constant((rows / 4) ** 0.5, np.float64))
    matrix = graph.add("Reshape", scaled, graph.constant([rows, columns], np.int64))
    return graph.add("Cast", matrix, to=TensorProto.FLOAT)


def reference_graph() -> bytes:
    graph = GraphBuilder("reference")
    value = graph.input(FEATURES, np.float32, ("rows", WIDTHS[0]))
    for layer, (rows, columns) in enumerate(itertools.pairwise(WIDTHS)):
        bias = graph.add("ConstantOfShape", graph.constant([columns], np.int64))
        value = graph.add("Gemm", value, weights(graph, rows, columns), bias)
        value = graph.add("Relu", value) if layer < len(WIDTHS) - 2 else value
    graph.output(SCORES, graph.add("Softmax", value, axis=1), np.float32, ("rows", WIDTHS[-1]))
    return graph.build().SerializeToString(deterministic=True)


if __name__ == "__main__":
    beside = Path(__file__).resolve().parent.parent / "autoopt" / "runtime" / "reference.onnx"
    Path(sys.argv[1] if len(sys.argv) > 1 else beside).write_bytes(reference_graph())
