"""Random trees on random float32 rows: both graphs reach the leaves that comparison in float64 reaches, always."""

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support_models import run

from autoopt.strategies.trees.arrays import TreeArrays, float32_below
from autoopt.strategies.trees.artifact import TreesArtifact
from autoopt.strategies.trees.compact import compact
from autoopt.strategies.trees.cut import Cutter

FEATURES = 3
EDGES = [0.0, -0.0, 0.1, -0.1, 1e-35, 1.0000000180025095e-35, 1e-45, -1e-45, 16777217.0, 1 / 3, 3.5e38, -3.5e38, 1e300]
thresholds = st.sampled_from([*EDGES, float("inf"), float("-inf")]) | st.floats(allow_nan=False, width=64)


@st.composite
def ensembles(draw: st.DrawFn, width: int) -> TreeArrays:
    """One to four trees of up to eight splits. Leaves are whole numbers: sums are exact, and tell the leaves apart."""
    outputs = width if width > 1 else draw(st.integers(1, 3))
    split_counts = draw(st.lists(st.integers(0, 8), min_size=1, max_size=4))
    feature, threshold, missing, left, right = [], [], [], [], []
    leaves = 0
    for count in split_counts:
        first, open_ends = len(feature), []  # (children list, position): ends that hang free
        for index in range(count):
            if index:
                ends, at = open_ends.pop(draw(st.integers(0, len(open_ends) - 1)))
                ends[at] = first + index
            feature.append(draw(st.integers(0, FEATURES - 1)))
            threshold.append(draw(thresholds))
            missing.append(draw(st.booleans()))
            left.append(0)
            right.append(0)
            open_ends += [(left, first + index), (right, first + index)]
        for ends, at in open_ends:
            ends[at] = ~leaves
            leaves += 1
        leaves += 0 if count else 1
    counts = np.array(split_counts)
    values = draw(st.lists(st.integers(-4, 4), min_size=leaves * width, max_size=leaves * width))
    return TreeArrays(
        feature=np.array(feature, dtype=np.int32),
        threshold=np.array(threshold, dtype=np.float64),
        left=np.array(left, dtype=np.int32),
        right=np.array(right, dtype=np.int32),
        missing_left=np.array(missing, dtype=bool),
        leaf_values=np.array(values, dtype=np.float64).reshape(leaves, width),
        leaf_weights=np.zeros(0),
        split_starts=np.concatenate([[0], np.cumsum(counts)]),
        leaf_starts=np.concatenate([[0], np.cumsum(counts + 1)]),
        tree_output=(np.arange(len(counts)) % outputs).astype(np.int32),
    )


@st.composite
def rows_for(draw: st.DrawFn, arrays: TreeArrays) -> NDArray[np.float32]:
    """Rows of the thresholds themselves, their neighbours, and what is special in float32."""
    with np.errstate(over="ignore"):
        near = arrays.threshold.astype(np.float32)
        around = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))]
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], dtype=np.float32)
    pool = np.concatenate([special, *around])
    picks = draw(st.lists(st.integers(0, len(pool) - 1), min_size=8 * FEATURES, max_size=8 * FEATURES))
    return pool[np.array(picks)].reshape(8, FEATURES)


def artifact_of(arrays: TreeArrays, outputs: int, *, average: bool = False) -> TreesArtifact:
    return TreesArtifact(
        arrays=arrays,
        features=FEATURES,
        columns=outputs,
        average=average,
        link="identity",
        base=np.zeros(outputs),
    )


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_graphs_route_as_float64_does(data: st.DataObject) -> None:
    arrays = data.draw(ensembles(1))
    numbers = data.draw(rows_for(arrays))
    artifact = artifact_of(arrays, int(arrays.tree_output.max()) + 1)
    expected = artifact.scores(numbers)
    assert np.array_equal(run(artifact.graph(), numbers), expected)
    assert np.array_equal(run(_compact(artifact), numbers), expected)


@settings(max_examples=80, deadline=None)
@given(st.data(), st.booleans())
def test_graphs_with_rows_of_outputs_route_as_float64_does(data: st.DataObject, average: bool) -> None:
    arrays = data.draw(ensembles(3))
    numbers = data.draw(rows_for(arrays))
    artifact = artifact_of(arrays, 3, average=average)
    expected = artifact.scores(numbers).astype(np.float32)
    assert np.array_equal(run(artifact.graph(), numbers), expected)
    assert np.array_equal(run(_compact(artifact), numbers), expected)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_slice_of_trees_computes_what_these_trees_do(data: st.DataObject) -> None:
    arrays = data.draw(ensembles(1))
    numbers = data.draw(rows_for(arrays))
    first = data.draw(st.integers(0, arrays.trees - 1))
    last = data.draw(st.integers(first + 1, arrays.trees))
    whole, part = arrays.route(numbers), arrays.slice(first, last)
    assert np.array_equal(part.route(numbers) + arrays.leaf_starts[first], whole[:, first:last])


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([1, 3]), st.sampled_from([0.0, 0.1, 1.0, 10.0, 1e9]))
def test_cut_trees_route_every_row_to_the_leaf_that_stands_for_its_own(
    data: st.DataObject, width: int, price: float
) -> None:
    arrays = data.draw(ensembles(width))
    numbers = data.draw(rows_for(arrays))
    cut = Cutter(arrays, np.ones(arrays.leaves)).cut(price)
    assert np.array_equal(cut.arrays.route(numbers), cut.leaf_of[arrays.route(numbers)])
    assert cut.arrays.splits <= arrays.splits
    if price == 1e9:
        assert cut.arrays.leaves == arrays.trees, "at any price, trees become their mean"


@given(st.lists(thresholds, min_size=1), st.lists(st.floats(width=32), min_size=1))
def test_the_float32_threshold_compares_as_the_float64_one(values: list[float], others: list[float]) -> None:
    wide = np.array(values)
    narrow = float32_below(wide)
    with np.errstate(over="ignore"):
        above = np.nextafter(narrow, np.float32(np.inf))
    candidates = np.concatenate([np.array(others, dtype=np.float32), narrow, above])
    for wide_one, narrow_one in zip(wide, narrow, strict=True):
        assert np.array_equal(candidates.astype(np.float64) <= wide_one, candidates <= narrow_one)


def _compact(artifact: TreesArtifact) -> onnx.ModelProto:
    """The compact encoding itself: `compact_graph` falls back to the other where the trees are too few to gain."""
    encoded = compact(artifact.arrays, outputs=artifact.outputs, average=artifact.average)
    return artifact.model_of(encoded)
