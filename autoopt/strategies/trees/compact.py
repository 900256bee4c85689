"""Trees as the smallest ONNX graph that gives the same output: TreeEnsemble of `ai.onnx.ml` 5.

Splits and leaves apart, modes in one byte, equal leaves and subtrees once. A leaf of that operator adds to one output
only; trees with a whole row of outputs in each leaf give the number of a row in a table instead, which is looked up
afterwards.
"""

from enum import IntEnum
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from autoopt.strategies.model import FEATURES, ML_OPSET
from autoopt.strategies.trees.arrays import Ints, TreeArrays
from autoopt.strategies.trees.merge import Comparisons, MergedTrees, bits, merge
from autoopt.strategies.trees.nodes import ML_DOMAIN, RAW, Encoded, ints_attribute, tensor_attribute

_ROW_BYTES: Final = 16_384  # what looked-up rows may take for each row of input, so that large batches fit in memory


class Aggregate(IntEnum):
    """How TreeEnsemble makes one number of the trees' (its attribute aggregate_function)."""

    AVERAGE = 0
    SUM = 1
    MIN = 2
    MAX = 3


def compact(arrays: TreeArrays, *, outputs: int, average: bool) -> Encoded:
    """The fewest bytes that give the same output as `portable`."""
    if arrays.leaf_values.shape[1] > 1:
        return compact_rows(arrays, Comparisons.of(arrays), average=average)
    targets = arrays.tree_output[arrays.leaf_tree()].astype(np.int64)
    how = Aggregate.AVERAGE if average else Aggregate.SUM
    return compact_votes(arrays, targets, Comparisons.of(arrays), outputs=outputs, aggregate=how)


def compact_votes(
    arrays: TreeArrays, targets: Ints, comparisons: Comparisons, *, outputs: int, aggregate: Aggregate
) -> Encoded:
    """Trees whose leaves are one wide and add to the output of `targets` (leaves,); RAW is of the thresholds' type."""
    weights = arrays.leaf_values[:, 0].astype(comparisons.threshold.dtype)
    merged = merge(arrays, _pairs(targets, np.unique(bits(weights), return_inverse=True)[1]), comparisons)
    rows = merged.leaf_rows
    node = _ensemble(merged, targets[rows], weights[rows], outputs, RAW, aggregate)
    return Encoded(nodes=(node,), ml_opset=ML_OPSET)


def _pairs(major: Ints, minor: Ints) -> Ints:
    """One number for each pair of small ones, equal where both are."""
    return (major << 32) + minor


def compact_rows(arrays: TreeArrays, comparisons: Comparisons, *, average: bool) -> Encoded:
    """Each tree gives the number of its leaf's row in a table; the rows are looked up and summed."""
    width = arrays.leaf_values.shape[1]
    values = arrays.leaf_values.astype(comparisons.threshold.dtype)
    table, first, row = np.unique(values, axis=0, return_index=True, return_inverse=True)
    constants, nodes = _lookup_table(arrays, table, first)
    each = max(1, _ROW_BYTES // (4 * width))
    sums = []
    for index, begin in enumerate(range(0, arrays.trees, each)):
        end = min(begin + each, arrays.trees)
        compared = comparisons.part(int(arrays.split_starts[begin]), int(arrays.split_starts[end]))
        rows = row[arrays.leaf_starts[begin] : arrays.leaf_starts[end]]
        nodes += _group(arrays.slice(begin, end), compared, rows, index)
        sums.append(f"sum_{index}")
    constants.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "tree_axis"))
    total = sums[0]
    if len(sums) > 1:
        total = "total"
        nodes.append(helper.make_node("Sum", sums, [total]))
    if average:
        constants.append(numpy_helper.from_array(np.array(arrays.trees, dtype=table.dtype), "trees"))
        nodes.append(helper.make_node("Div", [total, "trees"], [RAW]))
    else:
        nodes.append(helper.make_node("Identity", [total], [RAW]))
    return Encoded(nodes=tuple(nodes), constants=tuple(constants), ml_opset=ML_OPSET)


def _group(trees: TreeArrays, comparisons: Comparisons, row: Ints, index: int) -> list[onnx.NodeProto]:
    """Nodes that give `sum_<index>`: (rows, width), the sum of the rows that these trees point at."""
    targets = trees.leaf_tree()
    merged = merge(trees, _pairs(targets, row), comparisons)
    weights = row[merged.leaf_rows].astype(comparisons.threshold.dtype)
    names = [f"{n}_{index}" for n in ("found", "row", "looked", "sum")]
    return [
        _ensemble(merged, targets[merged.leaf_rows], weights, trees.trees, names[0], Aggregate.SUM),
        helper.make_node("Cast", [names[0]], [names[1]], to=onnx.TensorProto.INT32),
        helper.make_node("Gather", ["table", names[1]], [names[2]], axis=0),
        helper.make_node("ReduceSum", [names[2], "tree_axis"], [names[3]], keepdims=0),
    ]


def _lookup_table(
    arrays: TreeArrays, table: NDArray[Any], first: Ints
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
    merged: MergedTrees, targets: Ints, weights: NDArray[Any], outputs: int, name: str, aggregate: Aggregate
) -> onnx.NodeProto:
    merged = _with_root_splits(merged)
    node = helper.make_node("TreeEnsemble", [FEATURES], [name], domain=ML_DOMAIN)
    defaults = [] if aggregate is Aggregate.SUM else [helper.make_attribute("aggregate_function", int(aggregate))]
    node.attribute.extend(
        [
            *defaults,
            helper.make_attribute("n_targets", outputs),
            ints_attribute("tree_roots", merged.roots),
            ints_attribute("nodes_featureids", merged.feature),
            tensor_attribute("nodes_splits", merged.threshold),
            tensor_attribute("nodes_modes", merged.mode),
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
        threshold=np.concatenate([merged.threshold, zeros.astype(merged.threshold.dtype)]),
        mode=np.concatenate([merged.mode, np.full(len(leaves), merged.mode.max(initial=0), dtype=np.uint8)]),
        left=np.concatenate([merged.left, leaves]),
        right=np.concatenate([merged.right, leaves]),
        missing_left=np.concatenate([merged.missing_left, zeros.astype(bool)]),
        roots=roots,
        leaf_rows=merged.leaf_rows,
    )
