"""Two encodings of trees as ONNX nodes: the one that every runtime reads, and the smallest one.

Portable: TreeEnsembleRegressor of `ai.onnx.ml` 3, which later versions of that domain deprecate: a model that holds it
imports at most version 4. It is used for classifiers too: TreeEnsembleClassifier computes the same sums, adds a label
that nobody reads, and treats two classes in ways that differ between runtimes.

Compact: TreeEnsemble of `ai.onnx.ml` 5. Splits and leaves apart, modes in one byte, equal leaves and subtrees once. A
leaf of that operator adds to one output only; trees with a whole row of outputs in each leaf give the number of a row
in a table instead, which is looked up afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from autoopt.strategies.model import FEATURES
from autoopt.strategies.tree_arrays import Ints, TreeArrays
from autoopt.strategies.tree_merge import MergedTrees, merge

ML_DOMAIN: Final = "ai.onnx.ml"
PORTABLE_ML_OPSET: Final = 4
"""The newest version of the domain in which the portable operator is not deprecated."""
RAW: Final = "raw"
"""Output of the encoded trees: float32 (rows, outputs), sums or means over the trees."""
_ROW_BYTES: Final = 16_384  # what looked-up rows may take for each row of input, so that large batches fit in memory
_AVERAGE: Final = 0


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Nodes from FEATURES to RAW, and the constants they read."""

    nodes: tuple[onnx.NodeProto, ...]
    constants: tuple[onnx.TensorProto, ...] = ()


def portable(arrays: TreeArrays, *, outputs: int, average: bool) -> Encoded:
    """Splits and leaves as rows of one table, tree after tree."""
    table = _table(arrays)
    leaf, output, weight = _votes(arrays)
    leaf_tree = arrays.leaf_tree()
    node = helper.make_node("TreeEnsembleRegressor", [FEATURES], [RAW], domain=ML_DOMAIN)
    node.attribute.extend(
        [
            _text("aggregate_function", b"AVERAGE" if average else b"SUM"),
            helper.make_attribute("n_targets", outputs),
            _ints("nodes_treeids", table.tree),
            _ints("nodes_nodeids", table.node),
            _ints("nodes_featureids", table.feature),
            _floats("nodes_values", table.value),
            _texts("nodes_modes", np.where(table.is_split, 0, 1), (b"BRANCH_LEQ", b"LEAF")),
            _ints("nodes_truenodeids", table.left),
            _ints("nodes_falsenodeids", table.right),
            *([_ints("nodes_missing_value_tracks_true", table.missing)] if table.missing.any() else []),
            _ints("target_treeids", leaf_tree[leaf]),
            _ints("target_nodeids", table.leaf_node[leaf]),
            _ints("target_ids", output),
            _floats("target_weights", weight),
        ]
    )
    return Encoded(nodes=(node,))


@dataclass(frozen=True, kw_only=True)
class _Table:
    """One row for each split and leaf; a tree's rows number from 0, splits first."""

    tree: Ints
    node: Ints
    feature: Ints
    value: NDArray[np.float32]
    left: Ints
    right: Ints
    missing: Ints
    is_split: NDArray[np.bool_]
    leaf_node: Ints  # (leaves,): number of each leaf's row within its tree


def _table(arrays: TreeArrays) -> _Table:
    split_tree, leaf_tree = arrays.split_tree(), arrays.leaf_tree()
    splits_before, leaves_before = arrays.split_starts, arrays.leaf_starts
    inner = np.diff(splits_before)
    split_node = np.arange(arrays.splits) - splits_before[split_tree]
    leaf_node = np.arange(arrays.leaves) - leaves_before[leaf_tree] + inner[leaf_tree]
    at_split = np.arange(arrays.splits) + leaves_before[split_tree]
    at_leaf = np.arange(arrays.leaves) + splits_before[leaf_tree + 1]

    def rows(splits: NDArray[Any], leaves: NDArray[Any] | int) -> NDArray[Any]:
        both = np.zeros(arrays.splits + arrays.leaves, dtype=splits.dtype)
        both[at_split], both[at_leaf] = splits, leaves
        return both

    def child(ends: NDArray[np.int32]) -> Ints:
        return np.where(ends >= 0, split_node[np.maximum(ends, 0)], leaf_node[~np.minimum(ends, -1)])

    return _Table(
        tree=rows(split_tree, leaf_tree),
        node=rows(split_node, leaf_node),
        feature=rows(arrays.feature.astype(np.int64), 0),
        value=rows(arrays.thresholds_float32(), 0),
        left=rows(child(arrays.left), 0) if arrays.splits else np.zeros(arrays.leaves, dtype=np.int64),
        right=rows(child(arrays.right), 0) if arrays.splits else np.zeros(arrays.leaves, dtype=np.int64),
        missing=rows(arrays.missing_left.astype(np.int64), 0),
        is_split=rows(np.ones(arrays.splits, dtype=bool), 0),
        leaf_node=leaf_node,
    )


def _votes(arrays: TreeArrays) -> tuple[Ints, Ints, NDArray[np.float32]]:
    """(leaf, output, weight) of every vote; of a row of outputs, those that are not zero."""
    values = arrays.leaf_values.astype(np.float32)
    if values.shape[1] == 1:
        return np.arange(arrays.leaves), arrays.tree_output[arrays.leaf_tree()].astype(np.int64), values[:, 0]
    voting = values != 0
    voting[~voting.any(axis=1), 0] = True  # a leaf without a vote is refused by runtimes
    leaf, output = np.nonzero(voting)
    return leaf, output, values[leaf, output]


def compact(arrays: TreeArrays, *, outputs: int, average: bool) -> Encoded:
    """The fewest bytes that give the same output as `portable`."""
    if arrays.leaf_values.shape[1] > 1:
        return _compact_rows(arrays, average=average)
    weights = arrays.leaf_values[:, 0].astype(np.float32)
    targets = arrays.tree_output[arrays.leaf_tree()].astype(np.int64)
    merged = merge(arrays, _pairs(targets, weights.view(np.int32).astype(np.int64)))
    rows = merged.leaf_rows
    return Encoded(nodes=(_ensemble(merged, targets[rows], weights[rows], outputs, RAW, average=average),))


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
    return Encoded(nodes=tuple(nodes), constants=tuple(constants))


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
            _ints("tree_roots", merged.roots),
            _ints("nodes_featureids", merged.feature),
            _tensor("nodes_splits", merged.threshold),
            _tensor("nodes_modes", np.zeros(len(merged.feature), dtype=np.uint8)),  # 0: BRANCH_LEQ
            _ints("nodes_truenodeids", np.where(merged.left >= 0, merged.left, ~merged.left)),
            _ints("nodes_trueleafs", (merged.left < 0).astype(np.int64)),
            _ints("nodes_falsenodeids", np.where(merged.right >= 0, merged.right, ~merged.right)),
            _ints("nodes_falseleafs", (merged.right < 0).astype(np.int64)),
            _ints("leaf_targetids", targets),
            _tensor("leaf_weights", weights),
        ]
    )
    if merged.missing_left.any():
        node.attribute.append(_ints("nodes_missing_value_tracks_true", merged.missing_left.astype(np.int64)))
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


# Attributes are filled directly: helper.make_attribute looks at every number several times, in Python.


def _ints(name: str, values: NDArray[Any]) -> onnx.AttributeProto:
    attribute = onnx.AttributeProto(name=name, type=onnx.AttributeProto.INTS)
    attribute.ints.extend(values.tolist())
    return attribute


def _floats(name: str, values: NDArray[np.float32]) -> onnx.AttributeProto:
    attribute = onnx.AttributeProto(name=name, type=onnx.AttributeProto.FLOATS)
    attribute.floats.extend(values.tolist())
    return attribute


def _text(name: str, value: bytes) -> onnx.AttributeProto:
    return onnx.AttributeProto(name=name, type=onnx.AttributeProto.STRING, s=value)


def _texts(name: str, index: Ints, values: Sequence[bytes]) -> onnx.AttributeProto:
    attribute = onnx.AttributeProto(name=name, type=onnx.AttributeProto.STRINGS)
    attribute.strings.extend(np.array(values, dtype=object)[index].tolist())
    return attribute


def _tensor(name: str, values: NDArray[Any]) -> onnx.AttributeProto:
    attribute = onnx.AttributeProto(name=name, type=onnx.AttributeProto.TENSOR)
    attribute.t.CopyFrom(numpy_helper.from_array(values, name=""))
    return attribute
