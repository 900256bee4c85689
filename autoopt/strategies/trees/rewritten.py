"""Trees that autoopt wrote into a pipeline, read from its graph again, and others put in their place.

`TreesArtifact.graph` writes them: one operator, then the base and the link. What stands behind the scores stays.
"""

from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import compose, helper, numpy_helper

from autoopt.errors import StageFailure
from autoopt.strategies.model import FEATURES, SCORES, Prepared
from autoopt.strategies.trees.artifact import Link, TreesArtifact
from autoopt.strategies.trees.brought_nodes import REGRESSOR, BroughtTrees, read_trees
from autoopt.strategies.trees.compact import Aggregate
from autoopt.strategies.trees.trim import CALIBRATION_ROWS, trimmed
from autoopt.task.spreading import spread_rows
from autoopt.values import FailureReason

_PREFIX = "trimmed/"


def trimmed_in(model: onnx.ModelProto, rows: Prepared, *, score_change: float) -> onnx.ModelProto:
    """The graph with its trees trimmed, in the compact encoding; `rows` are those that it takes.

    Raises StageFailure where its trees are not one model's as autoopt writes them.
    """
    nodes = _of_trees(model)
    given = nodes[0].input[0]
    chosen = spread_rows(rows.rows, CALIBRATION_ROWS)
    features: NDArray[np.float32] = rows.model_feed(chosen)[given]
    made = trimmed(trees_in(model, features.shape[1]), features, score_change=score_change).compact_graph()
    return _put_in(model, nodes, given, made)


def _of_trees(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The operator and what follows it up to the scores."""
    nodes = list(model.graph.node)
    if [k for k, node in enumerate(nodes) if node.op_type == REGRESSOR] != [0]:
        raise _other("it has not one operator of trees, at its beginning")
    chain = [nodes[0]]
    for node in nodes[1:]:
        if SCORES in chain[-1].output:
            return chain
        if node.input[0] != chain[-1].output[0]:
            break
        chain.append(node)
    if SCORES in chain[-1].output:
        return chain
    raise _other("its scores are not made of its trees alone")


def trees_in(model: onnx.ModelProto, features: int) -> TreesArtifact:
    """What `TreesArtifact.graph` wrote, of so many features. Raises StageFailure for anything else."""
    nodes = _of_trees(model)
    trees = read_trees(nodes[0], double=False)
    if trees.labels is not None or len(trees.base) or trees.transform != "NONE":
        raise _other("its operator of trees does more than to add up leaves")
    if trees.aggregate not in (Aggregate.SUM, Aggregate.AVERAGE):
        raise _other(f"its leaves are aggregated by {trees.aggregate.name}")
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    columns, base, links = trees.outputs, np.zeros(trees.outputs), list[Link]()
    for node in nodes[1:]:
        values = [constants[name] for name in node.input[1:] if name in constants]
        if node.op_type == "Gemm" and len(values) == 2 and np.array_equal(values[0], [[-1, 1]]) and columns == 1:
            columns, base = 2, values[1][1:].astype(np.float64)
        elif node.op_type == "Add" and len(values) == 1 and values[0].size == trees.outputs:
            base = values[0].reshape(-1).astype(np.float64)
        elif node.op_type in ("Sigmoid", "Softmax"):
            links.append("sigmoid" if node.op_type == "Sigmoid" else "softmax")
        else:
            raise _other(f"behind its trees stands {node.op_type}")
    arrays = replace(trees.arrays, tree_output=_outputs(trees))
    return TreesArtifact(
        arrays=arrays,
        features=features,
        columns=columns,
        average=trees.aggregate is Aggregate.AVERAGE,
        link=links[0] if links else "identity",
        base=base,
    )


def _outputs(trees: BroughtTrees) -> NDArray[np.int32]:
    """The output that each tree votes for; 0 where each leaf votes for all."""
    arrays, targets = trees.arrays, trees.targets
    if targets is None:
        return np.zeros(arrays.trees, dtype=np.int32)
    first = targets[arrays.leaf_starts[:-1]]
    if not np.array_equal(targets, np.repeat(first, np.diff(arrays.leaf_starts))):
        raise _other("leaves of one tree vote for different outputs")
    return first.astype(np.int32)


def _put_in(model: onnx.ModelProto, nodes: list[onnx.NodeProto], given: str, made: onnx.ModelProto) -> onnx.ModelProto:
    """`made`, from FEATURES to SCORES, in the place of these nodes."""
    written = compose.add_prefix(made, _PREFIX, rename_inputs=False, rename_outputs=False)
    for node in written.graph.node:
        node.input[:] = [given if name == FEATURES else name for name in node.input]
    gone = {name for node in nodes for name in node.output}
    left = [node for node in model.graph.node if not gone.intersection(node.output)]
    read = {name for node in left for name in node.input}
    found = onnx.ModelProto()
    found.CopyFrom(model)
    del found.graph.node[:], found.graph.initializer[:], found.graph.value_info[:], found.opset_import[:]
    found.graph.node.extend([*written.graph.node, *left])
    found.graph.initializer.extend([c for c in model.graph.initializer if c.name in read])
    found.graph.initializer.extend(written.graph.initializer)
    versions = {o.domain: o.version for o in (*model.opset_import, *written.opset_import)}
    found.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in versions.items())
    return found


def _other(why: str) -> StageFailure:
    return StageFailure(FailureReason.ERROR, f"only trees of one model that a search found can be trimmed: {why}")
