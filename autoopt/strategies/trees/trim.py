"""Trees with fewer splits and rounder leaves that give nearly the same scores: what the twin `trimmed` is made of.

Splits whose loss changes the sums least are cut, with the model's own sums in place of a target. The leaves that are
left learn what the lost ones said, tree after tree (backfitting), and are rounded on the way, so that later trees make
up for the rounding of earlier ones. How far this goes is found by bisection: as far as the scores of rows that the
leaves did not learn from change by no more than is allowed. Labels are not looked at.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.trees.arrays import Floats, Ints, TreeArrays, starts
from autoopt.strategies.trees.artifact import TreesArtifact
from autoopt.strategies.trees.cut import Cutter
from autoopt.task.spreading import spread_rows

CALIBRATION_ROWS: Final = 8192
_MOST_CELLS: Final = 4_000_000  # rows x trees
_CHECK_EVERY: Final = 4  # of so many rows, one checks and the others teach
_LEAST_ROWS: Final = 64
_BISECTIONS: Final = 7
_PASSES: Final = 2
_PRIOR_ROWS: Final = 4.0
"""So many rows that agree with a leaf as it was stand beside those that teach it."""
_ROUNDING: Final = 1.0
"""Leaves are rounded to the allowed change, divided by the root of the number of trees, times this."""
_SHARES: Final = 255
"""Leaves with a row of shares hold so many of these: a byte each."""


def trimmed(artifact: TreesArtifact, numbers: NDArray[np.float32], *, score_change: float) -> TreesArtifact:
    """The artifact with the fewest splits whose scores change by no more than `score_change`.

    `numbers` (rows, features) are prepared training rows. The change is the root of the mean square of what the scores
    differ by, as a share of their standard deviation. The artifact itself comes back where nothing can be left out, and
    where there are fewer than 64 rows to go by.
    """
    if len(numbers) < _LEAST_ROWS:
        return artifact
    trimmer = _Trimmer(artifact, numbers, score_change)
    best, change = trimmer.attempt(0.0)
    if not change <= score_change:
        return artifact
    low, high = trimmer.cutter.prices()
    for _ in range(_BISECTIONS if low > 0 else 0):
        middle = float(np.sqrt(low * high))
        found, change = trimmer.attempt(middle)
        if change <= score_change:
            best, low = found, middle
        else:
            high = middle
    return best


class _Trimmer:
    """The calibration rows of one artifact, and what cutting its trees does to their scores."""

    def __init__(self, artifact: TreesArtifact, numbers: NDArray[np.float32], score_change: float) -> None:
        arrays = artifact.arrays
        self._artifact = artifact
        self._shares = arrays.leaf_values.shape[1] > 1  # a row of shares in each leaf, and their mean over the trees
        if artifact.average and not self._shares:
            arrays = replace(arrays, leaf_values=arrays.leaf_values / arrays.trees)
        self._before = arrays
        most = max(_LEAST_ROWS, min(CALIBRATION_ROWS, _MOST_CELLS // arrays.trees))
        numbers = numbers[spread_rows(len(numbers), most)]
        self._leaf = arrays.route(numbers)
        self._checks = np.arange(len(numbers)) % _CHECK_EVERY == _CHECK_EVERY - 1
        self._sums = self._sums_of(arrays, self._leaf)
        self._scores = self._scores_of(self._sums)
        self._weights = self._curvature()
        self.cutter = Cutter(arrays, self._leaf_weights())
        spread = np.sqrt(np.average((self._sums - self._sums.mean(axis=0)) ** 2, weights=self._weights))
        self._step = _ROUNDING * score_change * float(spread) / np.sqrt(max(arrays.trees / artifact.outputs, 1))

    def attempt(self, price: float) -> tuple[TreesArtifact, float]:
        """The artifact cut at that price of a split, and the change of the scores of the rows that check."""
        cut = self.cutter.cut(price)
        leaf = cut.leaf_of[self._leaf]
        arrays = _with_shares(cut.arrays) if self._shares else self._refitted(cut.arrays, leaf)
        change = self._change(self._sums_of(arrays, leaf))
        if self._shares:
            return replace(self._artifact, arrays=arrays), change
        arrays, constants = _without_bare_trees(arrays, self._artifact.outputs)
        return replace(self._artifact, arrays=arrays, base=self._artifact.base + constants, average=False), change

    def _refitted(self, arrays: TreeArrays, leaf: Ints) -> TreeArrays:
        """Leaves that have learned what the sums are short of, rounded."""
        teach = ~self._checks
        rows, weights = leaf[teach], self._weights[teach]
        left = self._sums[teach] - self._sums_of(arrays, rows)  # what the trees do not say yet
        values = arrays.leaf_values[:, 0].copy()
        bounded = self._artifact.columns > 1 and self._artifact.link == "identity"  # the sum is a probability
        most = 1 / arrays.trees if bounded else np.inf
        for index in range(_PASSES):
            for tree in range(arrays.trees):
                k = int(arrays.tree_output[tree])
                first, last = int(arrays.leaf_starts[tree]), int(arrays.leaf_starts[tree + 1])
                local, weight = rows[:, tree] - first, weights[:, k]
                counts = np.bincount(local, weight, last - first) + _PRIOR_ROWS * weight.mean()
                wanted = values[first:last] + np.bincount(local, weight * left[:, k], last - first) / counts
                if index == _PASSES - 1 and self._step:
                    wanted = np.round(wanted / self._step) * self._step
                wanted = np.clip(wanted, 0, most) if bounded else wanted
                left[:, k] -= (wanted - values[first:last])[local]
                values[first:last] = wanted
        return replace(arrays, leaf_values=values[:, None])

    def _sums_of(self, arrays: TreeArrays, leaf: Ints) -> Floats:
        """(rows, outputs): what the trees add up to, or the mean of their shares."""
        found = np.zeros((len(leaf), self._artifact.outputs))
        for tree in range(arrays.trees):
            values = arrays.leaf_values[leaf[:, tree]]
            if self._shares:
                found += values
            else:
                found[:, arrays.tree_output[tree]] += values[:, 0]
        return found / arrays.trees if self._shares and self._artifact.average else found

    def _scores_of(self, sums: Floats) -> Floats:
        with np.errstate(over="ignore"):
            return self._artifact.linked(sums + self._artifact.base)

    def _change(self, sums: Floats) -> float:
        """Of the scores: on the rows that check, or on all if that is more; infinite where the scores are all alike."""
        after = self._scores_of(sums)
        return max(_relative_change(self._scores[rows], after[rows]) for rows in (self._checks, slice(None)))

    def _curvature(self) -> Floats:
        """(rows, outputs): what a change of each sum matters to log loss, p (1 - p); 1 where no link follows."""
        if self._artifact.link == "identity":
            return np.ones_like(self._sums)
        shares = self._scores[:, -self._artifact.outputs :]
        return np.asarray(np.maximum(shares * (1 - shares), 1e-4))

    def _leaf_weights(self) -> Floats:
        found = np.zeros(self._before.leaves)
        for tree in range(self._before.trees):
            k = 0 if self._shares else int(self._before.tree_output[tree])
            found += np.bincount(self._leaf[:, tree], self._weights[:, k], self._before.leaves)
        return np.asarray(found + self._weights.mean())


def _relative_change(before: Floats, after: Floats) -> float:
    """Root of the mean square of the difference, in standard deviations of what was before."""
    if not np.ptp(before, axis=0).any():
        return float("inf")
    return float(np.sqrt(((after - before) ** 2).sum() / ((before - before.mean(axis=0)) ** 2).sum()))


def _without_bare_trees(arrays: TreeArrays, outputs: int) -> tuple[TreeArrays, Floats]:
    """Without trees that are a leaf only, but for one where all are; and what they said, by output."""
    bare = np.diff(arrays.split_starts) == 0
    if bare.all():
        bare[0] = False
    gone = bare[arrays.leaf_tree()]
    constants = np.bincount(arrays.tree_output[bare], arrays.leaf_values[gone, 0], outputs)
    number = np.cumsum(~gone) - 1

    def moved(child: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.where(child >= 0, child, ~number[~np.minimum(child, -1)]).astype(np.int32)

    kept = replace(
        arrays,
        left=moved(arrays.left),
        right=moved(arrays.right),
        leaf_values=arrays.leaf_values[~gone],
        split_starts=starts(np.diff(arrays.split_starts)[~bare]),
        leaf_starts=starts(np.diff(arrays.leaf_starts)[~bare]),
        tree_output=arrays.tree_output[~bare],
    )
    return kept, np.asarray(constants, dtype=np.float64)


def _with_shares(arrays: TreeArrays) -> TreeArrays:
    """Each leaf's row as shares of _SHARES: what is left over goes to the largest remainders, so that they add up."""
    exact = arrays.leaf_values * _SHARES
    counts = np.floor(exact)
    missing = np.rint(exact.sum(axis=1) - counts.sum(axis=1)).astype(np.int64)
    rank = np.argsort(np.argsort(-(exact - counts), axis=1, kind="stable"), axis=1)
    counts += rank < missing[:, None]
    return replace(arrays, leaf_values=counts / _SHARES, leaf_weights=np.full(arrays.leaves, float(_SHARES)))
