"""Trees as arrays: what every tree model becomes, and what both ONNX encodings are written from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class TreeArrays:
    """Splits and leaves of all trees, tree after tree; a tree's first split is its root.

    A child is the index of a split, or ~index of a leaf. A row goes left where `x <= threshold` in float64, and where x
    is NaN if `missing_left`. A tree without splits is its one leaf. Leaves are one wide, and then each tree adds to the
    output that `tree_output` names, or as wide as there are outputs.
    """

    feature: NDArray[np.int32]  # (splits,)
    threshold: Floats  # (splits,)
    left: NDArray[np.int32]  # (splits,)
    right: NDArray[np.int32]  # (splits,)
    missing_left: NDArray[np.bool_]  # (splits,)
    leaf_values: Floats  # (leaves, width)
    leaf_weights: Floats  # (leaves,): training rows in a leaf where values are shares of them; (0,) where they are not
    split_starts: Ints  # (trees + 1,): where each tree's splits begin
    leaf_starts: Ints  # (trees + 1,)
    tree_output: NDArray[np.int32]  # (trees,)

    @property
    def trees(self) -> int:
        return len(self.tree_output)

    @property
    def splits(self) -> int:
        return len(self.feature)

    @property
    def leaves(self) -> int:
        return len(self.leaf_values)

    @property
    def roots(self) -> Ints:
        """(trees,): each tree's root, a split's index or ~index of the only leaf."""
        has_splits = np.diff(self.split_starts) > 0
        return np.where(has_splits, self.split_starts[:-1], ~self.leaf_starts[:-1])

    def split_tree(self) -> Ints:
        """(splits,): the tree of each split."""
        return np.repeat(np.arange(self.trees), np.diff(self.split_starts))

    def leaf_tree(self) -> Ints:
        """(leaves,): the tree of each leaf."""
        return np.repeat(np.arange(self.trees), np.diff(self.leaf_starts))

    def thresholds_float32(self) -> NDArray[np.float32]:
        """The thresholds for float32 features: the same routing, whatever comes."""
        return float32_below(self.threshold)

    def slice(self, first: int, last: int) -> "TreeArrays":
        """Trees first..last-1 alone."""
        s0, s1 = self.split_starts[first], self.split_starts[last]
        l0, l1 = self.leaf_starts[first], self.leaf_starts[last]

        def moved(child: NDArray[np.int32]) -> NDArray[np.int32]:
            part = child[s0:s1].astype(np.int64)
            return np.asarray(np.where(part >= 0, part - s0, part + l0), dtype=np.int32)

        return TreeArrays(
            feature=self.feature[s0:s1],
            threshold=self.threshold[s0:s1],
            left=moved(self.left),
            right=moved(self.right),
            missing_left=self.missing_left[s0:s1],
            leaf_values=self.leaf_values[l0:l1],
            leaf_weights=self.leaf_weights[l0:l1],
            split_starts=self.split_starts[first : last + 1] - s0,
            leaf_starts=self.leaf_starts[first : last + 1] - l0,
            tree_output=self.tree_output[first:last],
        )

    def followed_by(self, other: "TreeArrays") -> "TreeArrays":
        """These trees, then the other's: their outputs add up."""

        def moved(child: NDArray[np.int32]) -> NDArray[np.int32]:
            return np.where(child >= 0, child + self.splits, child - self.leaves).astype(np.int32)

        return TreeArrays(
            feature=np.concatenate([self.feature, other.feature]),
            threshold=np.concatenate([self.threshold, other.threshold]),
            left=np.concatenate([self.left, moved(other.left)]),
            right=np.concatenate([self.right, moved(other.right)]),
            missing_left=np.concatenate([self.missing_left, other.missing_left]),
            leaf_values=np.concatenate([self.leaf_values, other.leaf_values]),
            leaf_weights=np.concatenate([self.leaf_weights, other.leaf_weights]),
            split_starts=np.concatenate([self.split_starts, other.split_starts[1:] + self.splits]),
            leaf_starts=np.concatenate([self.leaf_starts, other.leaf_starts[1:] + self.leaves]),
            tree_output=np.concatenate([self.tree_output, other.tree_output]),
        )

    def route(self, numbers: NDArray[Any]) -> Ints:
        """(rows, trees): the leaf that each row reaches, by comparison in float64: the yardstick for the graphs."""
        rows = np.arange(len(numbers))
        found = np.empty((len(numbers), self.trees), dtype=np.int64)
        wide = numbers.astype(np.float64)
        for tree, root in enumerate(self.roots):
            at = np.full(len(numbers), root)
            while (inner := at >= 0).any():
                split = at[inner]
                x = wide[rows[inner], self.feature[split]]
                goes_left = np.where(np.isnan(x), self.missing_left[split], x <= self.threshold[split])
                at[inner] = np.where(goes_left, self.left[split], self.right[split])
            found[:, tree] = ~at
        return found


def float32_below(values: Floats) -> NDArray[np.float32]:
    """The largest float32 not above each value: for every float32 x, `x <= t` holds exactly when `x <= that` does."""
    with np.errstate(over="ignore"):  # beyond float32 is infinite there, which compares as it should
        near = values.astype(np.float32)
        above = near.astype(np.float64) > values
        near[above] = np.nextafter(near[above], np.float32(-np.inf))
    return near


def starts(counts: Any) -> Ints:
    """Counts of things a tree → where each tree's begin, with the total at the end."""
    return np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))]).astype(np.int64)
