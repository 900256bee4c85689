#!/usr/bin/env python3
"""Write autoopt/runtime/reference.onnx: the graph that measures the machine's speed.

Run it only to change the reference: every stored ratio refers to the graph that was there when it was taken.
Usage: python scripts/make_reference_graph.py [PATH]
"""

import itertools
import sys
from pathlib import Path

import numpy as np

from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import FEATURES, SCORES

WIDTHS = (64, 256, 256, 10)


def weights(graph: GraphBuilder, rows: int, columns: int) -> str:
    """sin(0), sin(1), ... scaled: computed once by the runtime, when it folds constants."""
    ramp = graph.add("Range", *(graph.constant(v, np.float32) for v in (0.0, float(rows * columns), 1.0)))
    waves = graph.add("Div", graph.add("Sin", ramp), graph.constant(float(rows) ** 0.5, np.float32))
    return graph.add("Reshape", waves, graph.constant([rows, columns], np.int64))


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
