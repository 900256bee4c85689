"""What decision trees and forests of scikit-learn share: growing in steps, and their trees as arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.model import TableData, Trained, TrainingContext
from autoopt.strategies.tables.plain_features import check_plain, report_quality
from autoopt.strategies.trees.arrays import Floats, TreeArrays, starts
from autoopt.strategies.trees.artifact import TreesArtifact
from autoopt.task.facts import Kind

_STEPS = 20  # how often a forest reports, about


def grow(forest: Any, trees: int, data: TableData, context: TrainingContext, *, name: str) -> Trained:
    """Grow a forest of scikit-learn (warm_start on) to `trees` trees, with a report after every few.

    The trees are the same as those of one `fit`, however many steps it takes.
    """
    check_plain(data, name, missing=True)
    target, restore, centre = _target(data)
    total = np.zeros((data.valid.rows, max(len(data.facts.classes), 1)))
    each = max(1, context.slot.threads, -(-trees // _STEPS))
    context.report(0, {})
    for grown in range(0, trees, each):
        forest.set_params(n_estimators=min(grown + each, trees))
        forest.fit(data.train.numbers, target)
        for tree in forest.estimators_[grown:]:
            total += _leaf_scores(tree, data.valid.numbers, total.shape[1], restore)
        count = len(forest.estimators_)
        report_quality(context.report, count, data, total / count + centre)
    artifact = trees_artifact([t.tree_ for t in forest.estimators_], data, restore, centre)
    return Trained(artifact=artifact, valid_scores=total / trees + centre)


def grow_one(tree: Any, data: TableData, context: TrainingContext, *, name: str) -> Trained:
    """Fit one decision tree of scikit-learn."""
    check_plain(data, name, missing=True)
    target, restore, centre = _target(data)
    context.report(0, {})
    tree.fit(data.train.numbers, target)
    width = max(len(data.facts.classes), 1)
    scores = _leaf_scores(tree, data.valid.numbers, width, restore) + centre
    report_quality(context.report, 1, data, scores)
    return Trained(artifact=trees_artifact([tree.tree_], data, restore, centre), valid_scores=scores)


def _target(data: TableData) -> tuple[NDArray[Any], NDArray[np.int64], float]:
    """(target to fit, classes in it, what to add to predictions).

    Values are fitted about their mean, so that neither the criterion's sums of squares nor the graph's sums in float32
    lose the digits of a target far from zero. Classes are numbered without gaps, as scikit-learn wants them.
    """
    if data.facts.kind is Kind.REGRESSION:
        centre = float(np.mean(data.train_target))
        return data.train_target - centre, np.zeros(1, dtype=np.int64), centre
    present, target = np.unique(data.train_target.astype(np.int64), return_inverse=True)
    return target, present, 0.0


def _leaf_scores(tree: Any, numbers: NDArray[np.float32], width: int, present: NDArray[np.int64]) -> Floats:
    """(rows, width): one tree's own prediction; a class that train does not hold gets 0."""
    values = tree.tree_.predict(np.ascontiguousarray(numbers, dtype=np.float32)).reshape(len(numbers), -1)
    scores = np.zeros((len(numbers), width))
    scores[:, present] = values[:, : len(present)]
    return scores


def trees_artifact(trees: Sequence[Any], data: TableData, present: NDArray[np.int64], centre: float) -> TreesArtifact:
    """The artifact of scikit-learn's `tree_` objects, whose scores are the mean over the trees."""
    columns = max(len(data.facts.classes), 1)
    outputs = 1 if columns <= 2 else columns
    values = np.concatenate([t.value[:, 0, :] for t in trees])
    wide = np.zeros((len(values), columns))
    wide[:, present] = values[:, : len(present)]
    return TreesArtifact(
        arrays=arrays_of(trees, wide[:, -outputs:], shares=data.facts.kind.classifies),
        features=data.train.numbers.shape[1],
        columns=columns,
        average=True,
        link="identity",
        base=np.full(outputs, centre),
    )


def arrays_of(trees: Sequence[Any], values: Floats, *, shares: bool) -> TreeArrays:
    """Arrays of `tree_` objects; `values` (nodes, width) are those of all their nodes, one tree after the other."""

    def joined(read: Callable[[Any], NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([read(t) for t in trees])

    counts = np.array([t.node_count for t in trees], dtype=np.int64)
    offset = np.repeat(starts(counts)[:-1], counts)
    left, right = joined(lambda t: t.children_left), joined(lambda t: t.children_right)
    is_split = left >= 0
    leaf_count: NDArray[np.int64] = np.cumsum(~is_split)
    number = np.where(is_split, np.cumsum(is_split) - 1, -leaf_count)  # of a leaf ~index, which is -1 - index
    splits = np.add.reduceat(is_split, starts(counts)[:-1])
    return TreeArrays(
        feature=joined(lambda t: t.feature)[is_split].astype(np.int32),
        threshold=joined(lambda t: t.threshold)[is_split],
        left=number[(left + offset)[is_split]].astype(np.int32),
        right=number[(right + offset)[is_split]].astype(np.int32),
        missing_left=joined(lambda t: t.missing_go_to_left)[is_split].astype(bool),
        leaf_values=values[~is_split],
        leaf_weights=joined(lambda t: t.weighted_n_node_samples)[~is_split] if shares else np.zeros(0),
        split_starts=starts(splits),
        leaf_starts=starts(counts - splits),
        tree_output=np.zeros(len(trees), dtype=np.int32),
    )
