"""Merging equal parts of trees, and what the two encodings write of them."""

import numpy as np
from onnx import numpy_helper
from support_models import Kind, context, run, sklearn_data

from autoopt.strategies.trees.arrays import TreeArrays
from autoopt.strategies.trees.artifact import TreesArtifact
from autoopt.strategies.trees.compact import compact
from autoopt.strategies.trees.merge import merge
from autoopt.strategies.trees.portable import portable
from autoopt.strategies.trees.random_forest import RandomForest


def _trees(
    feature: list[int], left: list[int], right: list[int], values: list[float], splits: list[int], leaves: list[int]
) -> TreeArrays:
    count = len(feature)
    return TreeArrays(
        feature=np.array(feature, dtype=np.int32),
        threshold=np.full(count, 0.5),
        left=np.array(left, dtype=np.int32),
        right=np.array(right, dtype=np.int32),
        missing_left=np.zeros(count, dtype=bool),
        leaf_values=np.array(values)[:, None],
        leaf_weights=np.zeros(0),
        split_starts=np.cumsum([0, *splits]),
        leaf_starts=np.cumsum([0, *leaves]),
        tree_output=np.zeros(len(splits), dtype=np.int32),
    )


def _merged(arrays: TreeArrays):  # type: ignore[no-untyped-def]
    return merge(arrays, np.unique(arrays.leaf_values[:, 0], return_inverse=True)[1])


def _artifact(arrays: TreeArrays, *, average: bool = False) -> TreesArtifact:
    return TreesArtifact(arrays=arrays, features=3, columns=1, average=average, link="identity", base=np.zeros(1))


def test_equal_leaves_become_one() -> None:
    merged = _merged(_trees([0, 1], [1, -1], [-3, -2], [1.0, 2.0, 1.0], [2], [3]))
    assert len(merged.leaf_rows) == 2
    assert len(merged.feature) == 2


def test_equal_trees_become_one_and_count_twice() -> None:
    arrays = _trees([0, 0], [-1, -3], [-2, -4], [1.0, 2.0, 1.0, 2.0], [1, 1], [2, 2])
    merged = _merged(arrays)
    assert len(merged.feature) == 1
    assert list(merged.roots) == [0, 0]
    assert run(_artifact(arrays).compact_graph(), np.ones((1, 3), dtype=np.float32)).item() == 4.0


def test_splits_that_change_nothing_go_all_the_way_up() -> None:
    arrays = _trees([0, 1, 2], [1, -1, -3], [2, -2, -4], [5.0, 5.0, 5.0, 5.0], [3], [4])
    merged = _merged(arrays)
    assert len(merged.feature) == 0
    assert list(merged.roots) == [-1]
    for model in (_artifact(arrays).graph(), _artifact(arrays).compact_graph()):
        assert np.array_equal(run(model, np.ones((2, 3), dtype=np.float32)), [[5.0], [5.0]])


def test_splits_that_differ_in_where_missing_goes_stay_apart() -> None:
    arrays = _trees([0, 0], [-1, -3], [-2, -4], [1.0, 2.0, 1.0, 2.0], [1, 1], [2, 2])
    arrays.missing_left[1] = True
    assert len(_merged(arrays).feature) == 2
    numbers = np.full((1, 3), np.nan, dtype=np.float32)
    assert run(_artifact(arrays).compact_graph(), numbers).item() == 3.0


def test_trees_without_splits_among_others() -> None:
    arrays = _trees([1], [-2], [-3], [10.0, 1.0, 2.0, 20.0, 10.0], [0, 1, 0, 0], [1, 2, 1, 1])
    for average in (False, True):
        artifact = _artifact(arrays, average=average)
        expected = artifact.scores(np.eye(3, dtype=np.float32))
        for model in (artifact.graph(), artifact.compact_graph()):
            assert np.array_equal(run(model, np.eye(3, dtype=np.float32)), expected)


def test_default_attributes_are_left_out() -> None:
    arrays = _trees([0], [-1], [-2], [1.0, 2.0], [1], [2])
    for encoded in (compact(arrays, outputs=1, average=False), portable(arrays, outputs=1, average=False)):
        names = {a.name for a in encoded.nodes[0].attribute}
        assert not names & {"nodes_hitrates", "nodes_missing_value_tracks_true", "membership_values", "post_transform"}


def test_shares_of_rows_are_stored_as_counts_of_one_byte() -> None:
    artifact = RandomForest(n_trees=5).train(sklearn_data(Kind.MULTICLASS, rows=200), context()).artifact
    constants = {t.name: numpy_helper.to_array(t) for t in artifact.compact_graph().graph.initializer}
    assert constants["counts"].dtype == np.uint8
    assert "table" not in constants


def test_many_trees_of_many_classes_are_looked_up_in_groups() -> None:
    data = sklearn_data(Kind.MULTICLASS, rows=120)
    artifact = RandomForest(n_trees=900, max_leaf_nodes=4).train(data, context()).artifact
    assert isinstance(artifact, TreesArtifact)
    model = artifact.compact_graph()
    assert [n.op_type for n in model.graph.node].count("TreeEnsemble") == 3
    assert np.allclose(run(model, data.valid.numbers), artifact.scores(data.valid.numbers), rtol=1e-6, atol=1e-7)
