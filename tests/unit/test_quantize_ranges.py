"""Ranges of static int8: what entropy cuts off and what it keeps, on distributions whose answer is known."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from scipy.stats import entropy as scipy_divergence
from support_network import PlainRows

from autoopt.strategies.deploying import ranges
from autoopt.strategies.deploying.entropy import LEVELS, PARTS, divergence, least_divergent_range
from autoopt.strategies.deploying.quantize import dynamic_int8
from autoopt.strategies.deploying.quantizer import columns_differ
from autoopt.strategies.deploying.ranges import write_ranges
from autoopt.strategies.deploying.sensitivity import error, scores_of
from autoopt.strategies.deploying.static import Calibration, static_int8

RANDOM = np.random.default_rng(11)
GAUSSIAN = RANDOM.normal(size=50_000)


def calibration(x: NDArray[np.float32], method: str = "minmax") -> Calibration:
    return Calibration(rows=PlainRows(x), chosen=np.arange(len(x)), method=method)  # type: ignore[arg-type]


def graph_of(nodes: list[onnx.NodeProto], constants: dict[str, NDArray[np.float32]], *inner: object) -> onnx.ModelProto:
    """A graph of the rows x (rows, *inner) that gives y."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
        for name, dims in (("x", ["rows", *inner]), ("y", None))
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def scores(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float64]:
    return scores_of(model, {"x": x})


def test_outliers_of_a_gaussian_are_cut_off() -> None:
    low, high = least_divergent_range(np.concatenate([GAUSSIAN, [900.0, -700.0, 1000.0]]))
    assert -6 < low < -3
    assert 3 < high < 6


def test_a_gaussian_without_outliers_keeps_all_but_its_tails() -> None:
    low, high = least_divergent_range(GAUSSIAN)
    assert np.mean((low > GAUSSIAN) | (high < GAUSSIAN)) < 0.001


@pytest.mark.parametrize("low, high", [(-1.0, 1.0), (0.0, 1.0), (-5.0, 0.0)])
def test_a_uniform_distribution_is_not_cut(low: float, high: float) -> None:
    found = least_divergent_range(RANDOM.uniform(low, high, 50_000))
    assert np.allclose(found, (low, high), atol=0.01 * (high - low))


def test_what_a_relu_leaves_begins_at_zero() -> None:
    for values in (np.abs(GAUSSIAN), np.maximum(GAUSSIAN, 0)):
        low, high = least_divergent_range(np.concatenate([values, [300.0]]))
        assert low == 0.0
        assert 3 < high < 6
    assert least_divergent_range(-np.abs(GAUSSIAN))[1] == 0.0


@pytest.mark.parametrize(
    "values, expected",
    [
        (np.zeros(100), (0.0, 0.0)),
        (np.full(100, 3.0), (0.0, 3.0)),
        (np.zeros(0), (0.0, 0.0)),
        (np.arange(17.0), (0, 16)),
    ],
)
def test_few_different_values_are_all_kept(values: NDArray[np.float64], expected: tuple[float, float]) -> None:
    assert least_divergent_range(np.repeat(values, 50)) == expected


def test_the_divergence_is_scipy_s_of_the_levels_smoothed_form() -> None:
    values, low, high = np.sort(RANDOM.laplace(size=20_000)), -4.0, 5.0
    step = (high - low) / (LEVELS - 1)
    counts = np.histogram(values, np.linspace(low - step / 2, high + step / 2, LEVELS * PARTS + 1))[0]
    seen = counts.copy()
    seen[0] += (values < low - step / 2).sum()
    seen[-1] += (values > high + step / 2).sum()
    form, levels_filled = np.zeros(len(counts)), 0
    for level in range(LEVELS):
        part = slice(level * PARTS, (level + 1) * PARTS)
        filled = seen[part] > 0
        levels_filled += filled.any()
        form[part][filled] = max(counts[part].sum(), 0.5) / max(filled.sum(), 1)
    by_chance = ((seen > 0).sum() - levels_filled) / (2 * len(values))
    assert divergence(values, low, high) == pytest.approx(scipy_divergence(seen, form) - by_chance, rel=1e-9)


def test_entropy_serves_where_extremes_and_percentiles_do_not() -> None:
    """One unit in 250 is far wider than the others: too many values for a percentile, and extremes leave 3 levels."""
    hidden, x = 250, RANDOM.normal(size=(256, 32)).astype(np.float32)
    first = RANDOM.normal(size=(32, hidden)).astype(np.float32) / 6
    second = RANDOM.normal(size=(hidden, 8)).astype(np.float32)
    first[:, 7] *= 300
    second[7] /= 300
    product = helper.make_node("Gemm", ["x", "first"], ["h"], name="0")
    nodes = [
        product,
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "second"], ["y"], name="1"),
    ]
    model = graph_of(nodes, {"first": first, "second": second}, 32)
    expected = scores(model, x)
    lost = {
        method: error(expected, scores(static_int8(model, calibration(x, method)), x))
        for method in ("minmax", "entropy", "percentile")
    }
    assert lost["entropy"] < 0.2 * lost["minmax"]
    assert lost["entropy"] < 0.5 * lost["percentile"]


@pytest.mark.parametrize("transposed", [False, True])
def test_an_output_that_claims_the_range_is_found_whichever_way_a_matrix_lies(transposed: bool) -> None:
    plain = RANDOM.normal(size=(40, 24)).astype(np.float32)
    wide_output, wide_input = plain.copy(), plain.copy()
    wide_output[:, 3] *= 100
    wide_input[5] = 100
    for weights, expected in ((plain, False), (wide_output, True), (wide_input, False)):
        node = helper.make_node("Gemm", ["x", "w"], ["y"], name="product", transB=int(transposed))
        model = graph_of([node], {"w": np.ascontiguousarray(weights.T) if transposed else weights}, 40)
        assert columns_differ(model) is expected


def test_a_transposed_matrix_gets_a_scale_for_each_output() -> None:
    weights, x = RANDOM.normal(size=(40, 24)).astype(np.float32), RANDOM.normal(size=(128, 40)).astype(np.float32)
    weights[:, 3] *= 100
    node = helper.make_node("Gemm", ["x", "w"], ["y"], name="product", transB=1)
    model = graph_of([node], {"w": np.ascontiguousarray(weights.T)}, 40)
    for quantized in (static_int8(model, calibration(x)), dynamic_int8(model)):
        expected, found = (np.delete(scores(m, x), 3, axis=1) for m in (model, quantized))
        assert error(expected, found) < 1e-3 * expected.var()


def test_a_stack_of_matrices_has_one_scale_and_runs() -> None:
    """With a scale for each column the runtime makes a graph of it that it then refuses to run."""
    stack, x = RANDOM.normal(size=(4, 16, 24)), RANDOM.normal(size=(64, 4, 8, 16)).astype(np.float32)
    matrix = RANDOM.normal(size=(24, 24))
    matrix[:, 3] *= 100  # asks for scales of its own
    nodes = [
        helper.make_node("MatMul", ["x", "s"], ["h"], name="0"),
        helper.make_node("MatMul", ["h", "m"], ["y"], name="1"),
    ]
    model = graph_of(nodes, {"s": stack.astype(np.float32), "m": matrix.astype(np.float32)}, 4, 8, 16)
    assert columns_differ(model)
    for quantized in (static_int8(model, calibration(x)), dynamic_int8(model)):
        expected, found = scores(model, x), scores(quantized, x)
        assert 0 < error(expected, found) < 1e-2 * expected.var()


@pytest.mark.parametrize("keep", [0, 1])
def test_a_skip_beside_a_product_is_not_rounded(keep: int) -> None:
    weights = {name: RANDOM.normal(size=(16, 16)).astype(np.float32) for name in ("first", "second", "third")}
    x = RANDOM.normal(size=(128, 16)).astype(np.float32)
    nodes = [
        helper.make_node("Gemm", ["x", "first"], ["h"], name="0"),
        helper.make_node("Gemm", ["h", "second"], ["g"], name="1"),
        helper.make_node("Gemm", ["h", "third"], ["k"], name="2"),
        helper.make_node("Sum", ["g", "k", "h"], ["y"], name="sum"),
    ]
    model = graph_of(nodes, weights, 16)
    quantized = static_int8(model, calibration(x), keep_float=keep)
    readers = {node.name: list(node.input) for node in quantized.graph.node}
    assert readers["sum"] == ["g", "k", "h"]
    rounded = [name for name in "012" if readers[name][0] in ("x_DequantizeLinear_Output", "h_DequantizeLinear_Output")]
    assert len(rounded) == 3 - keep
    expected = scores(model, x)
    assert 0 < error(expected, scores(quantized, x)) < 1e-3 * expected.var()


def test_percentiles_are_those_of_all_values_however_few_rows_are_looked_at_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ranges, "SAMPLE", 1 << 14)
    x = RANDOM.normal(size=(400, 256)).astype(np.float32)
    node = helper.make_node("Gemm", ["x", "w"], ["y"], name="product")
    onnx.save(graph_of([node], {"w": np.eye(256, dtype=np.float32)}, 256), tmp_path / "float.onnx")
    feeds = [{"x": row[np.newaxis]} for row in x]
    write_ranges(tmp_path / "ranges", tmp_path / "float.onnx", ["Gemm"], feeds, len(x), "percentile")
    found = json.loads((tmp_path / "ranges").read_text())["data"]["x"]
    expected = np.percentile(x, [0.05, 99.95])
    assert np.allclose([found[end]["data"] for end in ("lowest", "highest")], expected, rtol=0.08)
