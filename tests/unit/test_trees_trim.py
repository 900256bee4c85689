"""Trimmed trees: how little the scores change, how much is cut, and what stays as it was."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support_models import Kind, context, run, sklearn_data

from autoopt.errors import StageFailure
from autoopt.strategies.deploying.quantize import Quantize
from autoopt.strategies.model import TableData
from autoopt.strategies.trees.arrays import TreeArrays
from autoopt.strategies.trees.artifact import TreesArtifact
from autoopt.strategies.trees.cut import Cutter
from autoopt.strategies.trees.decision_tree import DecisionTree
from autoopt.strategies.trees.lightgbm import LightGBM
from autoopt.strategies.trees.packed import packed_bytes
from autoopt.strategies.trees.random_forest import RandomForest
from autoopt.strategies.trees.trim import trimmed

MODELS = {
    "lightgbm": LightGBM(n_trees=40, num_leaves=15, min_child_samples=5),
    "random_forest": RandomForest(n_trees=20, max_leaf_nodes=64),
    "decision_tree": DecisionTree(max_leaf_nodes=64),
}


def trained(name: str, kind: Kind, *, missing: bool = True, rows: int = 450) -> tuple[TreesArtifact, TableData]:
    data = sklearn_data(kind, missing=missing, rows=rows)
    artifact = MODELS[name].train(data, context()).artifact
    assert isinstance(artifact, TreesArtifact)
    return artifact, data


def change(before: NDArray[Any], after: NDArray[Any]) -> float:
    spread = ((before - before.mean(axis=0)) ** 2).sum()
    return float(np.sqrt(((after.astype(np.float64) - before) ** 2).sum() / spread))


@pytest.mark.parametrize("kind", tuple(Kind))
@pytest.mark.parametrize("name", MODELS)
def test_scores_change_little_and_the_file_shrinks(name: str, kind: Kind) -> None:
    artifact, data = trained(name, kind)
    before = artifact.scores(data.train.numbers)
    sizes = [len(packed_bytes(artifact.compact_graph()))]
    for allowed in (0.02, 0.2):
        found = trimmed(artifact, data.train.numbers, score_change=allowed)
        graph = found.compact_graph()
        after = run(graph, data.train.numbers)
        assert change(before, after) <= 1.5 * allowed, "the bound is held on a quarter of the rows"
        assert np.allclose(after, found.scores(data.train.numbers), rtol=1e-5, atol=1e-5)
        sizes.append(len(packed_bytes(graph)))
    assert sizes[0] >= sizes[1] > sizes[2]
    assert sizes[2] < (0.85 if name != "decision_tree" else 1.0) * sizes[0]


@pytest.mark.parametrize("name", ["random_forest", "decision_tree"])
@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.MULTICLASS])
def test_shares_of_classes_stay_shares(name: str, kind: Kind) -> None:
    artifact, data = trained(name, kind)
    scores = run(trimmed(artifact, data.train.numbers, score_change=0.2).compact_graph(), data.valid.numbers)
    assert scores.min() >= 0
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_splits_are_those_of_before_and_strange_rows_go_where_they_went() -> None:
    artifact, data = trained("lightgbm", Kind.BINARY)
    found = trimmed(artifact, data.train.numbers, score_change=0.01)

    def splits(arrays: TreeArrays) -> set[tuple[float, ...]]:
        return set(zip(arrays.feature.tolist(), arrays.threshold.tolist(), arrays.missing_left.tolist(), strict=True))

    assert splits(found.arrays) <= splits(artifact.arrays)
    strange = np.repeat(np.array([[np.nan], [3e38], [-3e38], [np.inf], [-0.0]]), artifact.features, axis=1)
    rows = strange.astype(np.float32)
    assert np.allclose(run(found.compact_graph(), rows), artifact.scores(rows), atol=0.05)


def test_same_rows_same_bytes() -> None:
    artifact, data = trained("lightgbm", Kind.MULTICLASS)
    first, again = (Quantize(form="trimmed").apply(artifact, data.train).SerializeToString() for _ in range(2))
    assert first == again


def test_leaves_take_few_values() -> None:
    artifact, data = trained("lightgbm", Kind.REGRESSION)
    found = trimmed(artifact, data.train.numbers, score_change=0.1)
    assert len(np.unique(found.arrays.leaf_values)) < 0.3 * found.arrays.leaves
    assert len(np.unique(artifact.arrays.leaf_values)) > 0.9 * artifact.arrays.leaves


def test_too_few_rows_and_equal_scores_leave_the_trees_alone() -> None:
    artifact, data = trained("lightgbm", Kind.BINARY)
    assert trimmed(artifact, data.train.numbers[:63], score_change=0.3) is artifact
    assert trimmed(artifact, np.repeat(data.train.numbers[:1], 100, axis=0), score_change=0.3) is artifact


def test_rows_of_a_table_are_needed() -> None:
    artifact, _ = trained("decision_tree", Kind.BINARY)
    with pytest.raises(StageFailure, match="needs rows of a table"):
        Quantize(form="trimmed").apply(artifact, None)


def test_a_cut_removes_what_is_worth_least_first() -> None:
    """One tree of three splits: its lower left pair differs by 1, its lower right one by 10, the halves by 100."""
    arrays = TreeArrays(
        feature=np.array([0, 1, 1], dtype=np.int32),
        threshold=np.zeros(3),
        left=np.array([1, -1, -3], dtype=np.int32),
        right=np.array([2, -2, -4], dtype=np.int32),
        missing_left=np.zeros(3, dtype=bool),
        leaf_values=np.array([[0.0], [1.0], [100.0], [110.0]]),
        leaf_weights=np.zeros(0),
        split_starts=np.array([0, 3]),
        leaf_starts=np.array([0, 4]),
        tree_output=np.zeros(1, dtype=np.int32),
    )
    cutter = Cutter(arrays, np.ones(4))
    found = [cutter.cut(price) for price in (0.0, 0.6, 60.0, 1e9)]
    assert [c.arrays.leaf_values[:, 0].tolist() for c in found] == [
        [0.0, 1.0, 100.0, 110.0],
        [0.5, 100.0, 110.0],
        [0.5, 105.0],
        [52.75],
    ]
    assert [c.leaf_of.tolist() for c in found] == [[0, 1, 2, 3], [0, 0, 1, 2], [0, 0, 1, 1], [0, 0, 0, 0]]
    rows = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], dtype=np.float32)
    for cut in found:
        assert np.array_equal(cut.arrays.route(rows), cut.leaf_of[arrays.route(rows)])
