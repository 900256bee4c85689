"""Half precision: which weights of a graph are kept in 16 bits, and which stay as they are."""

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from autoopt.strategies.deploying.half import half_weights

ROWS, WORDS, WIDTH = 3, 40, 16
DRAW = np.random.default_rng(5)


def weights() -> dict[str, NDArray[np.float32]]:
    return {
        "table": DRAW.normal(size=(WORDS, WIDTH)).astype(np.float32),
        "filters": DRAW.normal(size=(WIDTH, WIDTH, 3)).astype(np.float32),
        "matrix": DRAW.normal(size=(WIDTH, WIDTH)).astype(np.float32),
        "shift": DRAW.normal(size=(1, 2 * WIDTH * WIDTH)).astype(np.float32),
        "bias": DRAW.normal(size=WIDTH).astype(np.float32),
    }


def graph(given: dict[str, NDArray[np.float32]], *, inputs: tuple[str, ...] = ()) -> onnx.ModelProto:
    """Codes (rows, 5) are looked up, convolved over, summed and multiplied twice with the same matrix."""
    nodes = [
        helper.make_node("Gather", ["table", "codes"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["channels"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["channels", "filters"], ["convolved"]),
        helper.make_node("GlobalAveragePool", ["convolved"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix", "bias"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "matrix"], ["product"]),
        helper.make_node("ReduceSum", ["shift"], ["constant"]),
        helper.make_node("Add", ["product", "constant"], ["scores"]),
    ]
    codes = helper.make_tensor_value_info("codes", TensorProto.INT64, ["rows_", 5])
    free = [helper.make_tensor_value_info(n, TensorProto.FLOAT, given[n].shape) for n in inputs]
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows_", WIDTH])
    constants = [numpy_helper.from_array(values, name) for name, values in given.items()]
    made = helper.make_graph(nodes, "text", [codes, *free], [scores], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    codes = np.arange(ROWS * 5, dtype=np.int64).reshape(ROWS, 5)
    scores: NDArray[np.float32] = session.run(["scores"], {"codes": codes})[0]
    return scores


def types(model: onnx.ModelProto) -> dict[str, int]:
    return {i.name: i.data_type for i in model.graph.initializer}


@pytest.mark.parametrize(
    "form, kept, share", [("fp16", TensorProto.FLOAT16, 0.01), ("bf16", TensorProto.BFLOAT16, 0.1)]
)
def test_tables_filters_and_matrices_are_halved_once_each(form: str, kept: int, share: float) -> None:
    plain = graph(weights())
    halved = half_weights(plain, form)
    halves = {f"{name}/{form}": kept for name in ("table", "filters", "matrix")}
    assert types(halved) == {**halves, "shift": TensorProto.FLOAT, "bias": TensorProto.FLOAT}
    casts = [node for node in halved.graph.node if node.op_type == "Cast"]
    assert sorted(node.output[0] for node in casts) == ["filters", "matrix", "table"]
    expected, found = run(plain), run(halved)
    assert 0 < np.abs(expected - found).max() < share * np.abs(expected).max()


@pytest.mark.parametrize("number", [70_000.0, np.inf, np.nan])
def test_a_tensor_beyond_the_range_stays_float(number: float) -> None:
    given = weights()
    given["matrix"][3, 4] = number
    assert types(half_weights(graph(given), "fp16"))["matrix"] == TensorProto.FLOAT
    wide = types(half_weights(graph(given), "bf16"))
    assert ("matrix" in wide) != bool(np.isfinite(number)), "bfloat16 has the range of float32"


def test_what_a_caller_may_replace_stays_as_it_is() -> None:
    assert "matrix" in types(half_weights(graph(weights(), inputs=("matrix",)), "fp16"))


def test_the_graph_that_was_given_is_left_alone_and_the_same_comes_to_the_same_bytes() -> None:
    plain = graph(weights())
    before = plain.SerializeToString(deterministic=True)
    first, again = (half_weights(plain, "fp16").SerializeToString(deterministic=True) for _ in range(2))
    assert first == again
    assert plain.SerializeToString(deterministic=True) == before
