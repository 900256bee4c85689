"""Two graphs become one: inputs keep their names, nothing clashes, nothing dead is left."""

import numpy as np
import onnx
import onnxruntime
import pytest

from autoopt.stages.join import join
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import CODES, FEATURES, IR_VERSION, SCORES


def _prepare(columns: tuple[str, ...], *, with_codes: bool = True) -> onnx.ModelProto:
    graph = GraphBuilder("prepare")
    inputs = [graph.input(name, np.float32, ("rows", 1)) for name in columns]
    stacked = graph.add("Concat", *inputs, axis=1)
    scaled = graph.add("Mul", stacked, graph.constant(np.float32(2.0)))
    codes = graph.add("Cast", stacked, to=onnx.TensorProto.INT64)
    graph.output(FEATURES, scaled, np.float32, ("rows", len(columns)))
    if with_codes:
        graph.output(CODES, codes, np.int64, ("rows", len(columns)))
    return graph.build()


def _model(width: int, *, with_codes: bool = False) -> onnx.ModelProto:
    graph = GraphBuilder("model")
    x = graph.input(FEATURES, np.float32, ("rows", width))
    codes = graph.input(CODES, np.int64, ("rows", width)) if with_codes else ""
    if with_codes:
        x = graph.add("Add", x, graph.add("Cast", codes, to=onnx.TensorProto.FLOAT))
    y = graph.add("ReduceSum", x, graph.constant(np.array([1])), keepdims=1)
    graph.output(SCORES, graph.add("Mul", y, graph.constant(np.float32(3.0))), np.float32, ("rows", 1))
    return graph.build()


def _run(model: onnx.ModelProto, columns: tuple[str, ...], values: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feed = {name: values[:, [i]] for i, name in enumerate(columns)}
    return np.asarray(session.run([SCORES], feed)[0])


@pytest.mark.parametrize("with_codes", [False, True])
@pytest.mark.parametrize("columns", [("a", "b"), ("features", "mul"), ("prepare/mul", "model/mul"), ("codes", "rows")])
def test_joined_graph_computes_both_halves(columns: tuple[str, ...], with_codes: bool) -> None:
    if {FEATURES, CODES} & set(columns):
        columns = tuple(f"{c} " for c in columns)
    joined = join(_prepare(columns), _model(2, with_codes=with_codes), {"autoopt.kind": "regression"})
    values = np.array([[1.0, 2.0], [3.0, -4.0]], dtype=np.float32)
    expected = 3.0 * (2.0 * values + (values if with_codes else 0.0)).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(_run(joined, columns, values), expected)
    assert [i.name for i in joined.graph.input] == list(columns)
    assert [o.name for o in joined.graph.output] == [SCORES]


def test_what_nothing_reads_is_left_out() -> None:
    joined = join(_prepare(("a", "b")), _model(2), {})
    assert "Cast" not in {n.op_type for n in joined.graph.node}


def test_metadata_and_versions_are_the_pinned_ones() -> None:
    joined = join(_prepare(("a", "b")), _model(2), {"autoopt.kind": "binary"})
    assert {p.key: p.value for p in joined.metadata_props} == {"autoopt.kind": "binary"}
    assert joined.ir_version == IR_VERSION
    domains = [o.domain for o in joined.opset_import]
    assert len(domains) == len(set(domains))


def test_joining_is_deterministic_and_leaves_its_inputs_alone() -> None:
    prepare, model = _prepare(("a", "b")), _model(2)
    before = prepare.SerializeToString(), model.SerializeToString()
    first = join(prepare, model, {"x": "1"}).SerializeToString(deterministic=True)
    assert first == join(prepare, model, {"x": "1"}).SerializeToString(deterministic=True)
    assert before == (prepare.SerializeToString(), model.SerializeToString())
