"""Cutting splits off trees: those whose loss changes least, over all trees at once, at a price for each split."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.trees.arrays import Floats, Ints, TreeArrays, starts
from autoopt.strategies.trees.merge import by_height

_TREE: Final = 2.0
"""What a whole tree saves beside its splits, in splits: its root's number, and the time of a walk."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """Trees after a cut, and which leaf of theirs stands for each leaf of before."""

    arrays: TreeArrays  # leaves hold the weighted means of those that they stand for
    leaf_of: Ints  # (leaves before,)


class Cutter:
    """Weakest-link pruning (Breiman et al. 1984) of an ensemble: exact for each price, trees taken as independent.

    What a subtree is worth is the weighted sum of squares by which its leaves differ from their mean.
    """

    def __init__(self, arrays: TreeArrays, weights: Floats) -> None:
        """`weights` (leaves,): what calibration rows there are in each leaf, above 0."""
        self._arrays = arrays
        self._levels = by_height(arrays)
        width = arrays.leaf_values.shape[1]
        at_leaf = weights[:, None] * arrays.leaf_values
        # Splits first, then leaves in reverse: a child's number, negative for leaves, finds its place
        self._weight = np.concatenate([np.zeros(arrays.splits), weights[::-1]])
        self._first = np.concatenate([np.zeros((arrays.splits, width)), at_leaf[::-1]])
        second = np.concatenate([np.zeros(arrays.splits), (at_leaf * arrays.leaf_values).sum(axis=1)[::-1]])
        for level in self._levels:
            a, b = arrays.left[level], arrays.right[level]
            for sums in (self._weight, self._first, second):
                sums[level] = sums[a] + sums[b]
        explained = (self._first**2).sum(axis=1) / self._weight
        self._worth = np.maximum(second - explained, 0.0)
        self._worth[arrays.splits :] = 0.0

    def prices(self) -> tuple[float, float]:
        """A price at which next to nothing is cut, and one at which all is."""
        worth = self._worth[: self._arrays.splits]
        above = worth[worth > 0]
        return (float(above.min()) / 2, float(above.max()) * 2) if len(above) else (0.0, 0.0)

    def cut(self, price: float) -> Cut:
        """Cut what is worth less than its splits cost. At 0, splits that change nothing go."""
        arrays = self._arrays
        least = np.zeros(arrays.splits + arrays.leaves)
        is_cut = np.zeros(arrays.splits, dtype=bool)
        extra = np.zeros(arrays.splits)
        extra[arrays.roots[arrays.roots >= 0]] = _TREE
        for level in self._levels:
            kept = price * (1 + extra[level]) + least[arrays.left[level]] + least[arrays.right[level]]
            is_cut[level] = self._worth[level] <= kept
            least[level] = np.minimum(self._worth[level], kept)
        return self._applied(is_cut)

    def _applied(self, is_cut: NDArray[np.bool_]) -> Cut:
        """The topmost cut split of each path becomes a leaf."""
        arrays = self._arrays
        below = np.full(arrays.splits + arrays.leaves, -1, dtype=np.int64)  # the cut split that each hangs under, or is
        for level in reversed(self._levels):
            top = (below[level] < 0) & is_cut[level]
            below[level[top]] = level[top]
            for child in (arrays.left[level], arrays.right[level]):
                below[child] = below[level]
        kept = np.flatnonzero(below[: arrays.splits] < 0)
        tops = np.flatnonzero(below[: arrays.splits] == np.arange(arrays.splits))
        bare = np.flatnonzero(below[::-1][: arrays.leaves] < 0)
        trees = np.concatenate([arrays.split_tree()[tops], arrays.leaf_tree()[bare]])
        places = np.concatenate([tops, ~bare])
        order = np.argsort(trees, kind="stable")
        number = np.zeros(arrays.splits + arrays.leaves, dtype=np.int64)
        number[kept] = np.arange(len(kept))
        number[places[order]] = ~np.arange(len(order))
        of_leaf = below[::-1][: arrays.leaves]
        place = np.where(of_leaf >= 0, of_leaf, ~np.arange(arrays.leaves))
        found = replace(
            arrays,
            feature=arrays.feature[kept],
            threshold=arrays.threshold[kept],
            left=number[arrays.left[kept]].astype(np.int32),
            right=number[arrays.right[kept]].astype(np.int32),
            missing_left=arrays.missing_left[kept],
            leaf_values=(self._first / self._weight[:, None])[places[order]],
            leaf_weights=np.zeros(0),
            split_starts=starts(np.bincount(arrays.split_tree()[kept], minlength=arrays.trees)),
            leaf_starts=starts(np.bincount(trees, minlength=arrays.trees)),
        )
        return Cut(arrays=found, leaf_of=~number[place])
