"""Merge what is equal among trees: leaves, whole subtrees, and splits that cannot change the outcome.

A subtree is shared between trees but never within one: onnxruntime walks each tree on its own and takes a split that it
meets twice there for a cycle.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.trees.arrays import Ints, TreeArrays


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """How each split compares, as a graph has it: a row goes left where `x <mode> threshold` holds."""

    threshold: NDArray[Any]  # (splits,), float32 or float64: the type that features are compared in
    mode: NDArray[np.uint8]  # (splits,): modes of TreeEnsemble, 0 is <=

    @classmethod
    def of(cls, arrays: TreeArrays) -> "Comparisons":
        """Of float32 features with the thresholds, which is the same routing whatever comes."""
        return cls(threshold=arrays.thresholds_float32(), mode=np.zeros(arrays.splits, dtype=np.uint8))

    def part(self, first: int, last: int) -> "Comparisons":
        """Of splits first..last-1 alone."""
        return Comparisons(threshold=self.threshold[first:last], mode=self.mode[first:last])


@dataclass(frozen=True, kw_only=True)
class MergedTrees:
    """Trees that share equal subtrees with each other. A child is a split, or ~leaf."""

    feature: Ints  # (splits,)
    threshold: NDArray[Any]  # (splits,), float32 or float64
    mode: NDArray[np.uint8]  # (splits,)
    left: Ints  # (splits,)
    right: Ints  # (splits,)
    missing_left: NDArray[np.bool_]  # (splits,)
    roots: Ints  # (trees,)
    leaf_rows: Ints  # (leaves,): for each leaf that is left, one of those it stands for


def merge(arrays: TreeArrays, leaf_class: Ints, comparisons: Comparisons | None = None) -> MergedTrees:
    """Merge trees whose leaves are interchangeable where `leaf_class` (leaves,) is equal. Routing stays the same.

    `comparisons`: where they are not those of the arrays with float32 features.
    """
    classes, leaf_rows, leaf_new = np.unique(leaf_class, return_index=True, return_inverse=True)
    del classes
    given = comparisons or Comparisons.of(arrays)
    # -0.0 and 0.0 split alike
    compared = Comparisons(threshold=given.threshold + given.threshold.dtype.type(0.0), mode=given.mode)
    left, right = (_with_leaves(child, leaf_new) for child in (arrays.left, arrays.right))
    tree = arrays.split_tree()
    stands_for = np.arange(arrays.splits)  # what each split is replaced by: itself, an equal one, or ~leaf
    for level in by_height(arrays):
        a, b = (_resolved(child[level], stands_for) for child in (left, right))
        left[level], right[level] = a, b
        pointless = a == b
        stands_for[level[pointless]] = a[pointless]
        real = level[~pointless]
        stands_for[real] = _first_equal(real, tree, arrays, compared, left, right)
    roots = _resolved(_with_leaves(arrays.roots, leaf_new), stands_for)
    return _renumbered(arrays, compared, left, right, roots, leaf_rows)


def bits(values: NDArray[Any]) -> Ints:
    """Float numbers as whole ones, equal where they are equal to the bit."""
    return values.view(f"i{values.itemsize}").astype(np.int64)


def _with_leaves(child: NDArray[np.signedinteger], leaf_new: Ints) -> Ints:
    wide = child.astype(np.int64)
    is_leaf = wide < 0
    wide[is_leaf] = ~leaf_new[~wide[is_leaf]]
    return wide


def _resolved(child: Ints, stands_for: Ints) -> Ints:
    return np.where(child >= 0, stands_for[np.maximum(child, 0)] if len(stands_for) else child, child)


def by_height(arrays: TreeArrays) -> list[Ints]:
    """Splits grouped by height, those above leaves only first: every child comes before its parent."""
    levels = []
    level = arrays.roots[arrays.roots >= 0]
    while len(level):
        levels.append(level)
        children = np.concatenate([arrays.left[level], arrays.right[level]]).astype(np.int64)
        level = children[children >= 0]
    height = np.zeros(arrays.splits + 1, dtype=np.int64)  # the entry beyond the end is that of every leaf
    for level in reversed(levels):
        a, b = arrays.left[level], arrays.right[level]
        height[level] = 1 + np.maximum(height[np.where(a >= 0, a, -1)], height[np.where(b >= 0, b, -1)])
    order = np.argsort(height[:-1], kind="stable")
    cuts = np.flatnonzero(np.diff(height[order])) + 1
    return [part for part in np.split(order, cuts) if len(part)]


def _first_equal(level: Ints, tree: Ints, arrays: TreeArrays, compared: Comparisons, left: Ints, right: Ints) -> Ints:
    """For each split of a level, the first of the level that is equal to it.

    Equal ones of the same tree stay apart: the second of one tree is merged with the second of another.
    """
    if not len(level):
        return level
    keys = np.stack(
        [
            (arrays.feature[level].astype(np.int64) * 2 + arrays.missing_left[level]) * 8 + compared.mode[level],
            bits(compared.threshold[level]),
            left[level],
            right[level],
        ]
    )
    rows = np.vstack([_occurrence(keys, tree[level]), keys])
    order = np.lexsort(rows)
    is_new = _starts(rows[:, order])
    group = np.cumsum(is_new) - 1
    firsts = level[order[is_new]]  # lexsort is stable: the first of a run has the lowest index
    found = np.empty_like(level)
    found[order] = firsts[group]
    return found


def _starts(ordered: Ints) -> NDArray[np.bool_]:
    """(columns,): whether a column differs from the one before it."""
    return np.concatenate([[True], (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)])


def _occurrence(keys: Ints, tree: Ints) -> Ints:
    """(columns,): how many equal columns of the same tree stand before each."""
    rows = np.vstack([tree, keys])
    order = np.lexsort(rows)
    starts = np.flatnonzero(_starts(rows[:, order]))
    run = np.repeat(starts, np.diff(np.append(starts, len(order))))
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.arange(len(order)) - run
    return found


def _renumbered(
    arrays: TreeArrays,
    compared: Comparisons,
    left: Ints,
    right: Ints,
    roots: Ints,
    leaf_rows: Ints,
) -> MergedTrees:
    """Keep what the roots reach; leaves that many splits share get low numbers, which take fewer bytes."""
    kept = _reached(arrays.splits, left, right, roots)
    splits = np.flatnonzero(kept)
    ends = np.concatenate([left[splits], right[splits], roots])
    uses = np.bincount(~ends[ends < 0], minlength=len(leaf_rows))
    order = np.argsort(-uses, kind="stable")[: np.count_nonzero(uses)]
    new_leaf = np.zeros(len(leaf_rows), dtype=np.int64)
    new_leaf[order] = np.arange(len(order))
    new_split = np.append(np.cumsum(kept) - 1, 0)  # the entry beyond the end is looked up for leaves, and not used

    def renamed(child: Ints) -> Ints:
        return np.where(child >= 0, new_split[np.where(child >= 0, child, -1)], ~new_leaf[~np.minimum(child, -1)])

    return MergedTrees(
        feature=arrays.feature[splits].astype(np.int64),
        threshold=compared.threshold[splits],
        mode=compared.mode[splits],
        left=renamed(left[splits]),
        right=renamed(right[splits]),
        missing_left=arrays.missing_left[splits],
        roots=renamed(roots),
        leaf_rows=leaf_rows[order],
    )


def _reached(splits: int, left: Ints, right: Ints, roots: Ints) -> NDArray[np.bool_]:
    """(splits,): whether some root leads there."""
    reached = np.zeros(splits, dtype=bool)
    level = np.unique(roots[roots >= 0])
    while len(level):
        reached[level] = True
        children = np.unique(np.concatenate([left[level], right[level]]))
        children = children[children >= 0]
        level = children[~reached[children]]
    return reached
