"""Trees as the ONNX node that every runtime reads: TreeEnsembleRegressor of `ai.onnx.ml` 3.

Later versions of that domain deprecate it, so a model that holds it imports at most version 4. It is used for
classifiers too: TreeEnsembleClassifier computes the same sums, adds a label that nobody reads, and treats two classes
in ways that differ between runtimes.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from autoopt.strategies.model import FEATURES
from autoopt.strategies.trees.arrays import Ints, TreeArrays
from autoopt.strategies.trees.nodes import (
    ML_DOMAIN,
    RAW,
    Encoded,
    floats_attribute,
    ints_attribute,
    text_attribute,
    texts_attribute,
)

_ML_OPSET: Final = 4


def portable(arrays: TreeArrays, *, outputs: int, average: bool) -> Encoded:
    """Splits and leaves as rows of one table, tree after tree."""
    table = _table(arrays)
    leaf, output, weight = _votes(arrays)
    leaf_tree = arrays.leaf_tree()
    node = helper.make_node("TreeEnsembleRegressor", [FEATURES], [RAW], domain=ML_DOMAIN)
    node.attribute.extend(
        [
            text_attribute("aggregate_function", b"AVERAGE" if average else b"SUM"),
            helper.make_attribute("n_targets", outputs),
            ints_attribute("nodes_treeids", table.tree),
            ints_attribute("nodes_nodeids", table.node),
            ints_attribute("nodes_featureids", table.feature),
            floats_attribute("nodes_values", table.value),
            texts_attribute("nodes_modes", np.where(table.is_split, 0, 1), (b"BRANCH_LEQ", b"LEAF")),
            ints_attribute("nodes_truenodeids", table.left),
            ints_attribute("nodes_falsenodeids", table.right),
            *([ints_attribute("nodes_missing_value_tracks_true", table.missing)] if table.missing.any() else []),
            ints_attribute("target_treeids", leaf_tree[leaf]),
            ints_attribute("target_nodeids", table.leaf_node[leaf]),
            ints_attribute("target_ids", output),
            floats_attribute("target_weights", weight),
        ]
    )
    return Encoded(nodes=(node,), ml_opset=_ML_OPSET)


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
