"""Several graphs become one: the weighted mean of their scores, and once what they compute alike."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.stages.averaging import averaged
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import SCORES

VALUES = np.array([[1.0], [2.0], [-3.0]], dtype=np.float32)


def pipeline(factor: float, *, offset: float = 1.0, name: str = "a", label: bool = True) -> onnx.ModelProto:
    """scores = factor * (a + offset): the sum stands for a preprocessing."""
    graph = GraphBuilder("pipeline")
    a = graph.input(name, np.float32, ("rows", 1))
    prepared = graph.add("Add", a, graph.constant(np.float32(offset)), name="prepared")
    scores = graph.add("Mul", prepared, graph.constant(np.float32(factor)))
    scores = graph.output(SCORES, scores, np.float32, ("rows", 1))
    if label:
        graph.output("prediction", graph.add("Neg", scores), np.float32, ("rows", 1))
    return graph.build()


def scores_of(model: onnx.ModelProto, name: str = "a") -> NDArray[np.float32]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.asarray(session.run([SCORES], {name: VALUES})[0])


@pytest.mark.parametrize("name", ["a", "member1/prepared", "mean/share1", "member2/scores", "scores "])
def test_it_gives_the_weighted_mean_whatever_columns_are_called(name: str) -> None:
    merged = averaged([pipeline(2.0, name=name), pipeline(6.0, name=name)], [0.75, 0.25])
    np.testing.assert_allclose(scores_of(merged, name), 3.0 * (VALUES + 1.0), rtol=1e-6)
    assert [v.name for v in merged.graph.input] == [name]
    assert [v.name for v in merged.graph.output] == [SCORES]


def test_what_is_alike_is_there_once_and_what_differs_is_not_mixed_up() -> None:
    graphs = [pipeline(2.0), pipeline(6.0), pipeline(2.0, offset=5.0)]
    merged = averaged(graphs, [0.5, 0.25, 0.25])
    mean = 0.5 * 2.0 * (VALUES + 1.0) + 0.25 * 6.0 * (VALUES + 1.0) + 0.25 * 2.0 * (VALUES + 5.0)
    np.testing.assert_allclose(scores_of(merged), mean, rtol=1e-6)
    counts = Counter(node.op_type for node in merged.graph.node)
    assert counts["Add"] == 2  # two of the three have the same preprocessing
    assert "Neg" not in counts
    contents = [t.SerializeToString().replace(t.name.encode(), b"") for t in merged.graph.initializer]
    assert len(contents) == len(set(contents))


def test_equal_members_share_everything_but_their_weights() -> None:
    merged = averaged([pipeline(2.0), pipeline(2.0)], [0.5, 0.5])
    assert Counter(n.op_type for n in merged.graph.node) == {"Add": 1, "Mul": 2, "Sum": 1}
    np.testing.assert_allclose(scores_of(merged), 2.0 * (VALUES + 1.0), rtol=1e-6)


def test_chance_is_not_shared() -> None:
    def random() -> onnx.ModelProto:
        graph = GraphBuilder("random")
        a = graph.input("a", np.float32, ("rows", 1))
        noise = graph.add("RandomNormalLike", a, dtype=onnx.TensorProto.FLOAT)
        graph.output(SCORES, graph.add("Add", a, noise), np.float32, ("rows", 1))
        return graph.build()

    merged = averaged([random(), random()], [0.5, 0.5])
    assert Counter(n.op_type for n in merged.graph.node)["RandomNormalLike"] == 2


def test_graphs_with_inner_graphs_are_merged_and_nothing_of_them_is_shared() -> None:
    def branching() -> onnx.ModelProto:
        model = pipeline(2.0, label=False)
        made = onnx.helper.make_graph(
            [onnx.helper.make_node("Identity", ["prepared"], ["chosen"])],
            "then",
            [],
            [onnx.helper.make_tensor_value_info("chosen", onnx.TensorProto.FLOAT, None)],
        )
        condition = onnx.numpy_helper.from_array(np.array(True), "condition")
        model.graph.initializer.append(condition)
        node = onnx.helper.make_node("If", ["condition"], ["picked"], then_branch=made, else_branch=made)
        last = model.graph.node[-1]
        last.input[:] = ["picked" if name == "prepared" else name for name in last.input]
        model.graph.node.insert(1, node)
        return model

    merged = averaged([branching(), pipeline(4.0, label=False)], [0.5, 0.5])
    np.testing.assert_allclose(scores_of(merged), 3.0 * (VALUES + 1.0), rtol=1e-6)
    assert Counter(n.op_type for n in merged.graph.node)["Add"] == 2


def test_other_inputs_are_refused() -> None:
    with pytest.raises(StageFailure, match="different inputs"):
        averaged([pipeline(2.0), pipeline(2.0, name="b")], [0.5, 0.5])


def test_merging_is_deterministic_and_leaves_its_members_alone() -> None:
    graphs = [pipeline(2.0), pipeline(6.0)]
    before = [g.SerializeToString() for g in graphs]
    first = averaged(graphs, [0.5, 0.5]).SerializeToString(deterministic=True)
    assert first == averaged(graphs, [0.5, 0.5]).SerializeToString(deterministic=True)
    assert before == [g.SerializeToString() for g in graphs]
