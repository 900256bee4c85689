"""GraphBuilder: names never clash, constants are shared, what it builds runs."""

import numpy as np
import onnx
import onnxruntime
import pytest

from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import IR_VERSION, ML_OPSET, OPSET


def run(model: onnx.ModelProto, **feed: object) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)


def test_chain_of_nodes_runs_and_pins_versions() -> None:
    graph = GraphBuilder("chain")
    x = graph.input("x", np.float32, ("rows", 2))
    y = graph.add("Gemm", x, graph.constant(np.eye(2, 3, dtype=np.float32)), "", alpha=2.0)
    graph.output("y", graph.add("Relu", y), np.float32, ("rows", 3))
    model = graph.build()
    assert run(model, x=np.array([[1, -1]], np.float32))[0].tolist() == [[2.0, 0.0, 0.0]]
    assert (model.ir_version, [(o.domain, o.version) for o in model.opset_import]) == (IR_VERSION, [("", OPSET)])


def test_ml_domain_is_imported_only_when_used() -> None:
    graph = GraphBuilder("labels")
    text = graph.input("größe", str, ("rows", 1))
    code = graph.ml("LabelEncoder", text, keys_strings=["a", ""], values_int64s=[1, 2], default_int64=0)
    graph.output("code", code, np.int64, ("rows", 1))
    model = graph.build()
    assert ("ai.onnx.ml", ML_OPSET) in [(o.domain, o.version) for o in model.opset_import]
    feed = {"größe": np.array([["a"], [""], ["b"]], dtype=object)}
    assert run(model, **feed)[0].ravel().tolist() == [1, 2, 0]


def test_equal_constants_are_stored_once_and_types_keep_them_apart() -> None:
    graph = GraphBuilder("constants")
    assert graph.constant([1.0, 2.0], np.float32) == graph.constant(np.array([1, 2], np.float32), name="other")
    assert graph.constant([1.0, 2.0], np.float64) != graph.constant([1.0, 2.0], np.float32)
    assert graph.constant([[1.0, 2.0]], np.float32) != graph.constant([1.0, 2.0], np.float32)
    assert graph.constant(0.0, np.float64) != graph.constant(-0.0, np.float64)
    assert graph.constant(["ab", "c"]) != graph.constant(["a", "bc"])


def test_inner_names_step_aside_for_inputs_and_outputs() -> None:
    graph = GraphBuilder("names")
    x = graph.input("add", np.float32, ("rows", 1))
    one = graph.constant(np.float32(1.0), name="y")
    first = graph.add("Add", x, one)
    second = graph.add("Add", first, one)
    assert len({x, first, second}) == 3
    graph.output("y", second, np.float32, ("rows", 1))
    assert run(graph.build(), add=np.zeros((2, 1), np.float32))[0].ravel().tolist() == [2.0, 2.0]


def test_output_of_its_own_name_and_of_an_input() -> None:
    graph = GraphBuilder("outputs")
    x = graph.input("x", np.float32, ("rows", 1))
    graph.output("neg", graph.add("Neg", x, name="neg"), np.float32, ("rows", 1))
    graph.output("same", x, np.float32, ("rows", 1))
    graph.output("again", "neg", np.float32, ("rows", 1))
    found = run(graph.build(), x=np.array([[3.0]], np.float32))
    assert [float(f[0, 0]) for f in found] == [-3.0, 3.0, -3.0]


@pytest.mark.parametrize("name", ["x", "y", ""])
def test_names_of_the_edge_cannot_be_taken_twice(name: str) -> None:
    graph = GraphBuilder("twice")
    x = graph.input("x", np.float32, ("rows", 1))
    graph.output("y", graph.add("Neg", x), np.float32, ("rows", 1))
    with pytest.raises(ValueError, match=r"taken or empty"):
        graph.output(name, graph.add("Abs", x), np.float32, ("rows", 1))
    with pytest.raises(ValueError, match=r"already|empty"):
        graph.input(name, np.float32, ("rows", 1))


def test_several_outputs_of_one_node() -> None:
    graph = GraphBuilder("split")
    x = graph.input("x", np.float32, ("rows", 3))
    left, right = graph.add_many("Split", x, graph.constant([1, 2], np.int64), outputs=2, axis=1)
    graph.output("joined", graph.add("Concat", right, left, axis=1), np.float32, ("rows", 3))
    assert run(graph.build(), x=np.array([[1, 2, 3]], np.float32))[0].tolist() == [[2.0, 3.0, 1.0]]


def test_a_graph_that_does_not_hold_up_is_refused() -> None:
    graph = GraphBuilder("wrong")
    x = graph.input("x", np.float32, ("rows", 3))
    product = graph.add("MatMul", x, graph.constant(np.ones((2, 2)), np.float32))
    graph.output("y", product, np.float32, ("rows", 2))
    with pytest.raises((onnx.checker.ValidationError, onnx.shape_inference.InferenceError)):
        graph.build()
