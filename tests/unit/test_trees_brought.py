"""Graphs of other libraries: their trees in the compact encoding give what they gave, labels included."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from autoopt.errors import StageFailure
from autoopt.strategies.trees.brought import compacted
from autoopt.strategies.trees.packed import packed_bytes

FEATURES = 3
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")
SHARES = [[0.8, 0.2], [0.1, 0.9], [0.6, 0.4], [0.3, 0.7]]
MARGINS = [[-0.7], [0.3], [-0.2], [0.9]]
NUMBERS = np.array([0.0, -0.0, 0.5, 1.0, -1.0, 2.0, np.nan, np.inf, -np.inf, 1e-45, 3e38], dtype=np.float32)
ROWS = np.random.default_rng(0).choice(NUMBERS, size=(60, FEATURES))


def stumps() -> dict[str, Any]:
    """Two trees of one split each: nodes 0 (split), 1 and 2 (leaves)."""
    return {
        "nodes_treeids": [0, 0, 0, 1, 1, 1],
        "nodes_nodeids": [0, 1, 2, 0, 1, 2],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"] * 2,
        "nodes_featureids": [0, 0, 0, 1, 0, 0],
        "nodes_values": [0.0] * 6,
        "nodes_truenodeids": [1, 0, 0] * 2,
        "nodes_falsenodeids": [2, 0, 0] * 2,
    }


def classifier(
    votes: list[list[int]], weights: list[list[float]], labels: list[Any], *, double: bool = False, **more: Any
) -> onnx.ModelProto:
    """Of the stumps' four leaves, the classes that each votes for, and its votes."""
    leaves = [(tree, node) for tree in (0, 1) for node in (1, 2)]
    each = [
        (*leaf, k, w) for leaf, ks, ws in zip(leaves, votes, weights, strict=True) for k, w in zip(ks, ws, strict=True)
    ]
    texts = isinstance(labels[0], str)
    attributes = {
        **stumps(),
        "class_treeids": [e[0] for e in each],
        "class_nodeids": [e[1] for e in each],
        "class_ids": [e[2] for e in each],
        "class_weights": [e[3] for e in each],
        "classlabels_strings" if texts else "classlabels_int64s": labels,
        **more,
    }
    return model_of("TreeEnsembleClassifier", attributes, TensorProto.STRING if texts else TensorProto.INT64, double)


def model_of(op: str, attributes: dict[str, Any], label: int | None = None, double: bool = False) -> onnx.ModelProto:
    names = ["label", "scores"] if label else ["scores"]
    node = helper.make_node(op, ["X"], names, domain="ai.onnx.ml", **attributes)
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", None])]
    if label:
        outputs.insert(0, helper.make_tensor_value_info("label", label, ["n"]))
    kind = TensorProto.DOUBLE if double else TensorProto.FLOAT
    graph = helper.make_graph([node], "brought", [helper.make_tensor_value_info("X", kind, ["n", FEATURES])], outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def outputs_of(content: bytes, rows: NDArray[Any]) -> list[NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    found: list[NDArray[Any]] = onnxruntime.InferenceSession(content, options).run(None, {"X": rows})
    return found


def assert_same(model: onnx.ModelProto, rows: NDArray[Any] = ROWS) -> onnx.ModelProto:
    before = model.SerializeToString()
    found = compacted(model)
    assert model.SerializeToString() == before, "the model that came is left as it is"
    *labels, expected = outputs_of(before, rows)
    *again, scores = outputs_of(packed_bytes(found), rows)
    assert scores.dtype == expected.dtype
    assert np.allclose(scores, expected, rtol=1e-6, atol=1e-6)
    assert all(np.array_equal(a, b) for a, b in zip(labels, again, strict=True))
    assert "TreeEnsemble" in {n.op_type for n in found.graph.node}
    return found


@pytest.mark.parametrize("labels", [[5, 9], ["no", "yes"]], ids=["numbers", "texts"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_two_classes(labels: list[Any], transform: str) -> None:
    for only in (0, 1):
        for weights in (MARGINS, [[0.1], [0.3], [0.2], [0.4]]):
            assert_same(classifier([[only]] * 4, weights, labels, post_transform=transform))
    assert_same(classifier([[0, 1]] * 4, SHARES, labels, post_transform=transform))
    assert_same(classifier([[0]] * 4, MARGINS, labels, post_transform=transform, base_values=[0.5]))


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("double", [False, True])
def test_three_classes(transform: str, double: bool) -> None:
    rows = ROWS.astype(np.float64) if double else ROWS
    pure = classifier([[0], [1], [2], [1]], [[0.5]] * 4, ["a", "ä", "c"], post_transform=transform, double=double)
    assert_same(pure, rows)
    shares = [[0.5, 0.3, 0.2], [0.1, 0.9, 0.0], [0.2, 0.2, 0.6], [1.0, 0.0, 0.0]]
    assert_same(classifier([[0, 1, 2]] * 4, shares, [3, 1, 2], post_transform=transform, double=double), rows)
    based = {"base_values": [0.1, 0.2, -0.3], "post_transform": transform}
    assert_same(classifier([[0], [1], [2], [1]], [[0.5], [0.5], [0.5], [-0.5]], [5, 9, 7], **based))


def random_regressor(random: np.random.Generator, modes: list[str], aggregate: str, transform: str) -> onnx.ModelProto:
    """One to four trees of up to six splits with leaves in every order, and targets 0..1 one or both a leaf."""
    targets = int(random.integers(1, 3))
    both = targets == 2 and aggregate in ("SUM", "AVERAGE") and random.random() < 0.5
    nodes: dict[str, list[Any]] = {k: [] for k in ("treeids", "nodeids", "modes", "featureids", "values")}
    nodes |= {k: [] for k in ("truenodeids", "falsenodeids", "missing_value_tracks_true")}
    votes: dict[str, list[Any]] = {k: [] for k in ("treeids", "nodeids", "ids", "weights")}
    for tree in random.choice(9, size=random.integers(1, 5), replace=False).tolist():
        splits = int(random.integers(0, 7))
        ends, children = [0], {}
        for index in range(splits):
            at = ends.pop(int(random.integers(len(ends))))
            children[at] = (2 * index + 1, 2 * index + 2)
            ends += children[at]
        target = int(random.integers(targets))
        for node in range(2 * splits + 1):
            true, false = children.get(node, (0, 0))
            values = {
                "treeids": tree,
                "nodeids": node,
                "modes": str(random.choice(modes)) if node in children else "LEAF",
                "featureids": int(random.integers(FEATURES)),
                "values": float(random.choice([0.0, -0.0, 0.5, 1.0, 1e-45, -1.0])),
                "truenodeids": true,
                "falsenodeids": false,
                "missing_value_tracks_true": int(random.integers(2)),
            }
            for key, value in values.items():
                nodes[key].append(value)
            for k in () if node in children else range(targets) if both else [target]:
                for key, value in zip(votes, (tree, node, k, float(random.integers(-8, 9))), strict=True):
                    votes[key].append(value)
    based = (both or targets == 1) and random.random() < 0.5
    base = {"base_values": [0.25, -0.5][:targets]} if based else {}
    attributes = {f"nodes_{k}": v for k, v in nodes.items()} | {f"target_{k}": v for k, v in votes.items()}
    more = {"n_targets": targets, "aggregate_function": aggregate, "post_transform": transform}
    return model_of("TreeEnsembleRegressor", attributes | more | base)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.sampled_from(MODES), min_size=1, max_size=3),
    st.sampled_from(["SUM", "AVERAGE", "MIN", "MAX"]),
    st.sampled_from(["NONE", "NONE", "LOGISTIC", "SOFTMAX"]),
)
def test_regressors_of_every_mode_and_aggregate(seed: int, modes: list[str], aggregate: str, transform: str) -> None:
    model = random_regressor(np.random.default_rng(seed), modes, aggregate, transform)
    assert_same(model)


def test_the_rest_of_the_graph_stays() -> None:
    model = classifier([[0, 1, 2]] * 4, [[0.1, 0.2, 0.7]] * 4, ["a", "b", "c"])
    model.graph.node[0].output[1] = "raw"
    model.graph.node[0].input[0] = "doubled"
    two = numpy_helper.from_array(np.array(2, dtype=np.float32), "trees_1/constant_0")  # a name that ours would have
    model.graph.initializer.append(two)
    model.graph.node.insert(0, helper.make_node("Mul", ["X", two.name], ["doubled"]))
    model.graph.node.append(helper.make_node("Normalizer", ["raw"], ["scores"], norm="L1", domain="ai.onnx.ml"))
    found = assert_same(model)
    assert [n.op_type for n in found.graph.node][:1] == ["Mul"]
    assert found.graph.node[-1].op_type == "Normalizer"


def test_old_opsets_and_whole_numbers_are_served() -> None:
    model = classifier([[0]] * 4, MARGINS, [0, 1], post_transform="LOGISTIC")
    model.opset_import[0].version = 9  # what onnxmltools writes
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    assert_same(model, np.arange(-30, 30).reshape(20, FEATURES))


def test_a_tensor_of_doubles_keeps_its_precision() -> None:
    attributes = stumps()
    del attributes["nodes_values"]
    third = numpy_helper.from_array(np.array([1 / 3, 0, 0] * 2))
    votes = {f"target_{k}": v for k, v in (("treeids", [0, 0, 1, 1]), ("nodeids", [1, 2, 1, 2]), ("ids", [0] * 4))}
    weights = numpy_helper.from_array(np.array([1.0, 2.0, 3.0, 5.0]))
    model = model_of(
        "TreeEnsembleRegressor",
        {**attributes, **votes, "nodes_values_as_tensor": third, "target_weights_as_tensor": weights, "n_targets": 1},
        double=True,
    )
    assert_same(model, np.array([[1 / 3, 1 / 3, 0], [np.nextafter(1 / 3, 1), np.float32(1 / 3), 0]]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"post_transform": "PROBIT"}, "post_transform PROBIT"),
        ({"base_values": [0.1, 0.2]}, "2 base values"),
        ({"classlabels_int64s": [3]}, r"output|class"),
        ({"nodes_modes": ["BRANCH_MEMBER", "LEAF", "LEAF"] * 2}, "mode BRANCH_MEMBER"),
        ({"nodes_truenodeids": [0, 0, 0] * 2}, "one root"),
        ({"nodes_falsenodeids": [7, 0, 0] * 2}, "nodes that it does not have"),
        ({"nodes_values": [0.0, 1.0]}, "not as many"),
        ({"class_nodeids": [0, 2, 1, 2]}, "no leaf"),
        ({"class_ids": [0, 1, 0, 0]}, "no vote for the second"),
    ],
)
def test_what_has_no_compact_form_is_refused(change: dict[str, Any], message: str) -> None:
    model = classifier([[0]] * 4, MARGINS, [5, 9])
    node = model.graph.node[0]
    kept = [a for a in node.attribute if a.name not in change]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in change.items())])
    with pytest.raises(StageFailure, match=message):
        compacted(model)


def test_base_values_of_outputs_that_not_every_row_has_votes_for_are_refused() -> None:
    votes = {"target_treeids": [0, 0, 1, 1], "target_nodeids": [1, 2, 1, 2], "target_ids": [0] * 4}
    more = {"target_weights": [1.0, 2.0, 3.0, 4.0], "n_targets": 2}
    assert_same(model_of("TreeEnsembleRegressor", {**stumps(), **votes, **more}))
    with pytest.raises(StageFailure, match="leave out its base value"):
        compacted(model_of("TreeEnsembleRegressor", {**stumps(), **votes, **more, "base_values": [0.5, 0.5]}))


def test_negative_votes_that_not_every_row_has_are_refused() -> None:
    with pytest.raises(StageFailure, match="negative votes"):
        compacted(classifier([[0], [1], [2], [1]], [[0.5], [0.5], [0.5], [-0.5]], [5, 9, 7]))


def test_a_graph_without_trees_is_refused_with_the_reason() -> None:
    model = classifier([[0]] * 4, MARGINS, [5, 9])
    with pytest.raises(StageFailure, match="already"):
        compacted(compacted(model))
    del model.graph.node[:]
    with pytest.raises(StageFailure, match="holds no trees"):
        compacted(model)


def test_trees_inside_a_branch_are_refused() -> None:
    inner = classifier([[0]] * 4, MARGINS, [5, 9])
    branch = helper.make_graph(list(inner.graph.node), "branch", [], list(inner.graph.output))
    outer = helper.make_node("If", ["which"], ["label", "scores"], then_branch=branch, else_branch=branch)
    del inner.graph.node[:]
    inner.graph.node.append(outer)
    with pytest.raises(StageFailure, match="inside a branch"):
        compacted(inner)
