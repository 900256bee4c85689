"""Read the tree operators of `ai.onnx.ml` 1 to 3, as converters of other libraries write them, as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from autoopt.errors import StageFailure
from autoopt.strategies.trees.arrays import Floats, Ints, TreeArrays, starts
from autoopt.strategies.trees.compact import Aggregate
from autoopt.strategies.trees.merge import Comparisons
from autoopt.values import FailureReason

CLASSIFIER: Final = "TreeEnsembleClassifier"
REGRESSOR: Final = "TreeEnsembleRegressor"
_MODES: Final = {
    b"BRANCH_LEQ": 0,
    b"BRANCH_LT": 1,
    b"BRANCH_GTE": 2,
    b"BRANCH_GT": 3,
    b"BRANCH_EQ": 4,
    b"BRANCH_NEQ": 5,
    b"LEAF": 6,
}
_LEAF: Final = 6
_TRANSFORMS: Final = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")


@dataclass(frozen=True, kw_only=True, eq=False)
class BroughtTrees:
    """One tree operator of a graph that autoopt did not write.

    Leaves of `arrays` are one wide where each votes for one output (`targets`), else as wide as there are outputs;
    `missing_left` says where NaN goes, whatever the mode. The `tree_output` of the arrays means nothing.
    """

    arrays: TreeArrays
    targets: Ints | None  # (leaves,): the output of each leaf that is one wide
    comparisons: Comparisons  # float32 or float64: the type of the operator's numbers
    outputs: int
    aggregate: Aggregate
    base: Floats  # (outputs,), or fewer as the file has it; (0,): none
    transform: str  # one of NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO
    labels: NDArray[Any] | None  # (classes,) int64 or str; None: a regressor
    voted: NDArray[np.bool_]  # (outputs,): some leaf votes for it
    surely_voted: NDArray[np.bool_]  # (outputs,): every row has a vote for it
    negative: bool  # some vote is


def read_trees(node: onnx.NodeProto, *, double: bool) -> BroughtTrees:
    """The operator's trees; `double`: its features are float64. Raises StageFailure for what has no compact form."""
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    classifies = node.op_type == CLASSIFIER
    kind = np.dtype(np.float64 if double else np.float32)
    transform = found.get("post_transform", b"NONE").decode()
    if transform not in _TRANSFORMS:
        raise refused(node, f"post_transform {transform} is none of {', '.join(_TRANSFORMS)}")
    labels = _labels(node, found) if classifies else None
    outputs = len(labels) if labels is not None else int(found.get("n_targets", 1))
    aggregate = found.get("aggregate_function", b"SUM").decode()
    if aggregate not in Aggregate.__members__:
        raise refused(node, f"aggregate_function {aggregate} is none of {', '.join(Aggregate.__members__)}")
    table = _table(node, found)
    votes = _votes(table, found, "class" if classifies else "target", outputs, kind)
    thresholds = _thresholds(table, found, kind)
    return BroughtTrees(
        arrays=_arrays(table, found, thresholds, votes.values),
        targets=votes.targets,
        comparisons=Comparisons(threshold=thresholds, mode=table.mode[table.splits].astype(np.uint8)),
        outputs=outputs,
        aggregate=Aggregate[aggregate],
        base=_numbers(found, "base_values", kind).astype(np.float64),
        transform=transform,
        labels=labels,
        voted=votes.voted,
        surely_voted=votes.surely,
        negative=bool((votes.values < 0).any()),
    )


def refused(node: onnx.NodeProto, why: str) -> StageFailure:
    """What to raise for an operator that has no compact form."""
    named = f"{node.op_type} {node.name!r}" if node.name else node.op_type
    return StageFailure(FailureReason.ERROR, f"{named} has no compact form: {why}.")


def _labels(node: onnx.NodeProto, found: Mapping[str, Any]) -> NDArray[Any]:
    texts, numbers = found.get("classlabels_strings", []), found.get("classlabels_int64s", [])
    if bool(texts) == bool(numbers):
        raise refused(node, "its class labels are missing, or there are both texts and numbers")
    if texts:
        return np.array([text.decode() for text in texts], dtype=object)
    return np.array(numbers, dtype=np.int64)


def _numbers(found: Mapping[str, Any], name: str, kind: "np.dtype[Any]") -> NDArray[Any]:
    """A list of floats, which later versions may hold as a tensor."""
    if f"{name}_as_tensor" in found:
        return np.asarray(numpy_helper.to_array(found[f"{name}_as_tensor"]).reshape(-1), dtype=kind)
    return np.array(found.get(name, []), dtype=np.float32).astype(kind)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Table:
    """The operator's rows, one for each split and leaf, as given."""

    node: onnx.NodeProto
    tree_ids: Ints  # (trees,): as the operator numbers them, ascending
    tree_numbers: Ints  # (trees,): the number of each of these in the order in which they are named
    width: int  # more than any node's number
    keys: Ints  # (rows,): tree and node as one number
    tree: Ints  # (rows,): in the order in which they are named
    mode: Ints  # (rows,)
    true: Ints  # (rows,): the row of each split's child; of a leaf, 0
    false: Ints
    splits: Ints  # rows: tree after tree, the root first
    leaves: Ints  # rows: tree after tree

    def rows_of(self, trees: Ints, nodes: Ints) -> Ints:
        """The rows of these nodes. Raises StageFailure where there is none."""
        place = np.minimum(np.searchsorted(self.tree_ids, trees), len(self.tree_ids) - 1)
        known = (self.tree_ids[place] == trees) & (nodes >= 0) & (nodes < self.width)
        return _rows_of(self.node, self.keys, np.where(known, self.tree_numbers[place] * self.width + nodes, -1))


def _rows_of(node: onnx.NodeProto, keys: Ints, wanted: Ints) -> Ints:
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    if not np.array_equal(keys[order][place], wanted):
        raise refused(node, "it names nodes that it does not have")
    return order[place]


def _table(node: onnx.NodeProto, found: Mapping[str, Any]) -> _Table:
    ids, nodes, true, false = (
        _whole(found, f"nodes_{n}") for n in ("treeids", "nodeids", "truenodeids", "falsenodeids")
    )
    modes = found.get("nodes_modes", [])
    strange = sorted(set(modes) - set(_MODES))
    if strange:
        raise refused(node, f"its mode {strange[0].decode()} is none of {', '.join(m.decode() for m in _MODES)}")
    if not modes or {len(ids), len(nodes), len(true), len(false)} != {len(modes)} or min(nodes.min(), ids.min()) < 0:
        raise refused(node, "its lists of nodes are empty, or not of one length")
    mode = np.array([_MODES[m] for m in modes], dtype=np.int64)
    is_split = mode != _LEAF
    tree_ids, first, which = np.unique(ids, return_index=True, return_inverse=True)
    tree_numbers = np.argsort(np.argsort(first))
    tree, width = tree_numbers[which], int(nodes.max()) + 1
    keys = tree * width + nodes
    if len(np.unique(keys)) != len(keys):
        raise refused(node, "two nodes of one tree have the same number")

    def rows(child: Ints) -> Ints:
        inside = (child >= 0) & (child < width)
        return _rows_of(node, keys, np.where(is_split, np.where(inside, tree * width + child, -1), keys[0]))

    true, false = rows(true), rows(false)
    parents = np.bincount(np.concatenate([true[is_split], false[is_split]]), minlength=len(keys))
    roots = np.flatnonzero(parents == 0)
    one_each = parents.max() <= 1 and np.array_equal(np.sort(tree[roots]), np.arange(len(tree_ids)))
    if not one_each or _below(roots, is_split, true, false) != len(keys):
        raise refused(node, "its nodes do not form trees with one root each")
    order = np.lexsort((np.arange(len(keys)), parents, tree))  # a root has no parent
    return _Table(
        node=node,
        tree_ids=tree_ids,
        tree_numbers=tree_numbers,
        width=width,
        keys=keys,
        tree=tree,
        mode=mode,
        true=true,
        false=false,
        splits=order[is_split[order]],
        leaves=order[~is_split[order]],
    )


def _below(roots: Ints, is_split: NDArray[np.bool_], true: Ints, false: Ints) -> int:
    """How many rows the roots lead to, themselves included; no row has two parents."""
    count, level = 0, roots
    while len(level):
        count += len(level)
        inner = level[is_split[level]]
        level = np.concatenate([true[inner], false[inner]])
    return count


def _whole(found: Mapping[str, Any], name: str) -> Ints:
    return np.array(found.get(name, []), dtype=np.int64)


def _arrays(table: _Table, found: Mapping[str, Any], thresholds: NDArray[Any], values: Floats) -> TreeArrays:
    splits, trees = table.splits, len(table.tree_ids)
    number = np.zeros(len(table.keys), dtype=np.int64)
    number[splits], number[table.leaves] = np.arange(len(splits)), ~np.arange(len(table.leaves))
    tracks = _whole(found, "nodes_missing_value_tracks_true")
    features = _whole(found, "nodes_featureids")
    if len(features) != len(number) or len(tracks) not in (0, len(number)) or features.min() < 0:
        raise refused(table.node, "its lists of nodes are not of one length, or a feature has a negative number")
    return TreeArrays(
        feature=features[splits].astype(np.int32),
        threshold=thresholds.astype(np.float64),
        left=number[table.true[splits]].astype(np.int32),
        right=number[table.false[splits]].astype(np.int32),
        missing_left=tracks[splits] != 0 if len(tracks) else np.zeros(len(splits), dtype=bool),
        leaf_values=values,
        leaf_weights=np.zeros(0),
        split_starts=starts(np.bincount(table.tree[splits], minlength=trees)),
        leaf_starts=starts(np.bincount(table.tree[table.leaves], minlength=trees)),
        tree_output=np.zeros(trees, dtype=np.int32),
    )


def _thresholds(table: _Table, found: Mapping[str, Any], kind: "np.dtype[Any]") -> NDArray[Any]:
    """(splits,)"""
    values = _numbers(found, "nodes_values", kind)
    if len(values) != len(table.keys) or np.isnan(values[table.splits]).any():
        raise refused(table.node, "its thresholds are not as many as its nodes, or one is not a number")
    return values[table.splits]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Votes:
    values: Floats  # (leaves, 1), or (leaves, outputs)
    targets: Ints | None
    voted: NDArray[np.bool_]  # (outputs,)
    surely: NDArray[np.bool_]  # (outputs,): voted for by each leaf of some tree


def _votes(table: _Table, found: Mapping[str, Any], prefix: str, outputs: int, kind: "np.dtype[Any]") -> _Votes:
    """What each leaf adds to which output."""
    trees, nodes, target = (_whole(found, f"{prefix}_{name}") for name in ("treeids", "nodeids", "ids"))
    weights = _numbers(found, f"{prefix}_weights", kind).astype(np.float64)
    if len({len(trees), len(nodes), len(target), len(weights)}) != 1 or not len(target):
        raise refused(table.node, "its lists of votes are empty, or not of one length")
    if target.min() < 0 or target.max() >= outputs:
        raise refused(table.node, f"a leaf votes for output {target.max()} of {outputs}")
    number = np.full(len(table.keys), -1, dtype=np.int64)
    number[table.leaves] = np.arange(len(table.leaves))
    leaf = number[table.rows_of(trees, nodes)]
    votes = np.bincount(leaf[leaf >= 0], minlength=len(table.leaves))
    if leaf.min() < 0 or votes.min() == 0 or len(np.unique(leaf * outputs + target)) != len(leaf):
        raise refused(table.node, "a leaf has no vote, or two for one output, or what votes is no leaf")
    leaf_tree = table.tree[table.leaves]
    count = np.bincount(leaf_tree[leaf] * outputs + target, minlength=len(table.tree_ids) * outputs)
    count = count.reshape(-1, outputs)
    voted = np.asarray(count.any(axis=0))
    surely = np.asarray((count == np.bincount(leaf_tree)[:, None]).any(axis=0))
    if votes.max() == 1:
        order = np.argsort(leaf)
        return _Votes(values=weights[order, None], targets=target[order], voted=voted, surely=surely)
    values = np.zeros((len(table.leaves), outputs))
    values[leaf, target] = weights
    return _Votes(values=values, targets=None, voted=voted, surely=surely)
