"""Trees as the smallest ONNX graph that gives the same output: TreeEnsemble of `ai.onnx.ml` 5.

Splits and leaves apart, modes in one byte, equal leaves and subtrees once. A leaf of that operator adds to one output
only; trees with a whole row of outputs in each leaf give the number of a row in a table instead, which is looked up
afterwards.
"""

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from autoopt.strategies.model import FEATURES, ML_OPSET
from autoopt.strategies.trees.arrays import Ints, TreeArrays
from autoopt.strategies.trees.merge import MergedTrees, merge
from autoopt.strategies.trees.nodes import ML_DOMAIN, RAW, Encoded, ints_attribute, tensor_attribute

_ROW_BYTES: Final = 16_384  # what looked-up rows may take for each row of input, so that large batches fit in memory
_AVERAGE: Final = 0


def compact(arrays: TreeArrays, *, outputs: int, average: bool) -> Encoded:
    """The fewest bytes that give the same output as `portable`."""
    if arrays.leaf_values.shape[1] > 1:
        return _compact_rows(arrays, average=average)
    weights = arrays.leaf_values[:, 0].astype(np.float32)
    targets = arrays.tree_output[arrays.leaf_tree()].astype(np.int64)
    merged = merge(arrays, _pairs(targets, weights.view(np.int32).astype(np.int64)))
    rows = merged.leaf_rows
    node = _ensemble(merged, targets[rows], weights[rows], outputs, RAW, average=average)
    return Encoded(nodes=(node,), ml_opset=ML_OPSET)


def _pairs(major: Ints, minor: Ints) -> Ints:
    """One number for each pair, equal where both are."""
    return (major << 32) + (minor - np.iinfo(np.int32).min)


def _compact_rows(arrays: TreeArrays, *, average: bool) -> Encoded:
    """Each tree gives the number of its leaf's row in a table; the rows are looked up and summed."""
    width = arrays.leaf_values.shape[1]
    table, first, row = np.unique(arrays.leaf_values.astype(np.float32), axis=0, return_index=True, return_inverse=True)
    constants, nodes = _lookup_table(arrays, table, first)
    each = max(1, _ROW_BYTES // (4 * width))
    sums = []
    for index, begin in enumerate(range(0, arrays.trees, each)):
        end = min(begin + each, arrays.trees)
        nodes += _group(arrays.slice(begin, end), row[arrays.leaf_starts[begin] : arrays.leaf_starts[end]], index)
        sums.append(f"sum_{index}")
    constants.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "tree_axis"))
    total = sums[0]
    if len(sums) > 1:
        total = "total"
        nodes.append(helper.make_node("Sum", sums, [total]))
    if average:
        constants.append(numpy_helper.from_array(np.array(arrays.trees, dtype=np.float32), "trees"))
        nodes.append(helper.make_node("Div", [total, "trees"], [RAW]))
    else:
        nodes.append(helper.make_node("Identity", [total], [RAW]))
    return Encoded(nodes=tuple(nodes), constants=tuple(constants), ml_opset=ML_OPSET)


def _group(trees: TreeArrays, row: Ints, index: int) -> list[onnx.NodeProto]:
    """Nodes that give `sum_<index>`: (rows, width), the sum of the rows that these trees point at."""
    targets = trees.leaf_tree()
    merged = merge(trees, _pairs(targets, row))
    weights, names = (
        row[merged.leaf_rows].astype(np.float32),
        [f"{n}_{index}" for n in ("found", "row", "looked", "sum")],
    )
    return [
        _ensemble(merged, targets[merged.leaf_rows], weights, trees.trees, names[0], average=False),
        helper.make_node("Cast", [names[0]], [names[1]], to=onnx.TensorProto.INT32),
        helper.make_node("Gather", ["table", names[1]], [names[2]], axis=0),
        helper.make_node("ReduceSum", [names[2], "tree_axis"], [names[3]], keepdims=0),
    ]


def _lookup_table(
    arrays: TreeArrays, table: NDArray[np.float32], first: Ints
) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    """The constant `table` (rows, width), as counts in few bytes and their totals where that gives the same bits."""
    if len(arrays.leaf_weights):
        total = np.rint(arrays.leaf_weights[first])
        counts = np.rint(arrays.leaf_values[first] * total[:, None])
        with np.errstate(divide="ignore", invalid="ignore"):
            again = counts.astype(np.float32) / total.astype(np.float32)[:, None]
        if counts.max(initial=0) < 2**16 and np.array_equal(again, table):
            small = np.uint8 if counts.max(initial=0) < 2**8 else np.uint16
            total_type = np.uint16 if total.max(initial=0) < 2**16 else np.uint32
            return [
                numpy_helper.from_array(counts.astype(small), "counts"),
                numpy_helper.from_array(total.astype(total_type)[:, None], "totals"),
            ], [
                helper.make_node("Cast", ["counts"], ["counts_float"], to=onnx.TensorProto.FLOAT),
                helper.make_node("Cast", ["totals"], ["totals_float"], to=onnx.TensorProto.FLOAT),
                helper.make_node("Div", ["counts_float", "totals_float"], ["table"]),
            ]
    return [numpy_helper.from_array(table, "table")], []


def _ensemble(
    merged: MergedTrees, targets: Ints, weights: NDArray[np.float32], outputs: int, name: str, *, average: bool
) -> onnx.NodeProto:
    merged = _with_root_splits(merged)
    node = helper.make_node("TreeEnsemble", [FEATURES], [name], domain=ML_DOMAIN)
    defaults = [] if not average else [helper.make_attribute("aggregate_function", _AVERAGE)]
    node.attribute.extend(
        [
            *defaults,
            helper.make_attribute("n_targets", outputs),
            ints_attribute("tree_roots", merged.roots),
            ints_attribute("nodes_featureids", merged.feature),
            tensor_attribute("nodes_splits", merged.threshold),
            tensor_attribute("nodes_modes", np.zeros(len(merged.feature), dtype=np.uint8)),  # 0: BRANCH_LEQ
            ints_attribute("nodes_truenodeids", np.where(merged.left >= 0, merged.left, ~merged.left)),
            ints_attribute("nodes_trueleafs", (merged.left < 0).astype(np.int64)),
            ints_attribute("nodes_falsenodeids", np.where(merged.right >= 0, merged.right, ~merged.right)),
            ints_attribute("nodes_falseleafs", (merged.right < 0).astype(np.int64)),
            ints_attribute("leaf_targetids", targets),
            tensor_attribute("leaf_weights", weights),
        ]
    )
    if merged.missing_left.any():
        node.attribute.append(ints_attribute("nodes_missing_value_tracks_true", merged.missing_left.astype(np.int64)))
    return node


def _with_root_splits(merged: MergedTrees) -> MergedTrees:
    """The operator has no root that is a leaf: such a tree is a split with that leaf on both sides."""
    bare = merged.roots < 0
    leaves, which = np.unique(merged.roots[bare], return_inverse=True)
    if not len(leaves):
        return merged
    roots = merged.roots.copy()
    roots[bare] = len(merged.feature) + which
    zeros = np.zeros(len(leaves), dtype=np.int64)
    return MergedTrees(
        feature=np.concatenate([merged.feature, zeros]),
        threshold=np.concatenate([merged.threshold, zeros.astype(np.float32)]),
        left=np.concatenate([merged.left, leaves]),
        right=np.concatenate([merged.right, leaves]),
        missing_left=np.concatenate([merged.missing_left, zeros.astype(bool)]),
        roots=roots,
        leaf_rows=merged.leaf_rows,
    )
