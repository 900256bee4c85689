"""A second output beside the scores: the label or the value itself, for whoever runs the file without autoopt.

It costs less than a microsecond a call; `runtime` reads the scores alone.
"""

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from autoopt.stages.join import free_prefix
from autoopt.strategies.graph import element_type, tensor
from autoopt.strategies.model import SCORES
from autoopt.task.facts import TaskFacts

PREDICTION: Final = "prediction"
_ROWS: Final = "rows"


def append_prediction(graph: onnx.GraphProto, facts: TaskFacts) -> None:
    """Add an output (rows,): the most probable class's label as the data have it, or the value as float32."""
    taken = {v.name for v in (*graph.input, *graph.output)}
    name = PREDICTION
    while name in taken:  # a column may be called just that
        name += "_"
    prefix = free_prefix("labels/", graph)
    if facts.kind.classifies:
        labels = _labels(facts)
        classes, best = prefix + "classes", prefix + "best"
        graph.initializer.append(tensor(labels, classes))
        graph.node.append(helper.make_node("ArgMax", [SCORES], [best], name=best, axis=1, keepdims=0))
        graph.node.append(helper.make_node("Gather", [classes, best], [name], name=prefix + "label"))
        kind = element_type(labels.dtype)
    else:
        flat = prefix + "flat"
        graph.initializer.append(tensor(np.array([-1], dtype=np.int64), flat))
        graph.node.append(helper.make_node("Reshape", [SCORES, flat], [name], name=prefix + "value"))
        kind = onnx.TensorProto.FLOAT
    graph.output.append(helper.make_tensor_value_info(name, kind, [_ROWS]))


def _labels(facts: TaskFacts) -> NDArray[Any]:
    """Labels in the order of the score columns: whole numbers, numbers or text, as `runtime.Front` gives them."""
    if not facts.numeric_classes:
        return np.array(facts.classes, dtype=object)
    numbers = np.array([float(c) for c in facts.classes])
    return numbers.astype(np.int64) if (numbers == np.floor(numbers)).all() else numbers
