"""Layers that int8 does not serve stay float, and ranges do without outliers: what is lost comes back."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from support_network import PlainRows, context, digits, optimized_ops, run
from support_squares import run_images, squares

from autoopt.errors import StageFailure
from autoopt.space.recipe import Recipe
from autoopt.strategies.deploying.quantize import Quantize
from autoopt.strategies.deploying.sensitivity import error, most_sensitive, scores_of
from autoopt.strategies.deploying.static import Calibration, static_int8
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import TableData
from autoopt.strategies.networks.images.residual_net import ResidualNet
from autoopt.strategies.networks.mlp import MLP
from autoopt.strategies.networks.mlp_graph import NetworkArtifact

STATIC = {"form": "static_int8", "calibration_rows": 128}


def spoiled() -> tuple[NetworkArtifact, TableData]:
    """A network that knows the digits, one hidden unit of which has values a thousand times those of the others.

    It computes the same function: the layer that reads them has weights a thousand times smaller.
    """
    data = digits()
    plain = MLP(width=32, depth=1, epochs=4, normalization="none").train(data, context()).artifact
    assert isinstance(plain, NetworkArtifact)
    weights = {name: array.copy() for name, array in plain.weights.items()}
    weights["blocks.0.inner.weight"][3] *= 1000
    weights["blocks.0.inner.bias"][3] *= 1000
    weights["blocks.0.outer.weight"][:, 3] /= 1000
    return NetworkArtifact(architecture=plain.architecture, weights=weights), data


def lost(artifact: NetworkArtifact, data: TableData, **settings: object) -> float:
    """Mean square of what the scores differ by."""
    quantized = Quantize(**{**STATIC, **settings}).apply(artifact, data.train)  # type: ignore[arg-type]
    return error(scores(artifact.graph(), data), scores(quantized, data))


def scores(model: onnx.ModelProto, data: TableData) -> NDArray[np.float64]:
    return run(model, data.valid).astype(np.float64)


def test_the_layer_that_suffers_most_goes_back_to_float() -> None:
    artifact, data = spoiled()
    whole, with_one = lost(artifact, data), lost(artifact, data, keep_float=1)
    assert with_one < 0.2 * whole
    quantized = Quantize(**STATIC, keep_float=1).apply(artifact, data.train)  # type: ignore[arg-type]
    kept = [i for i in quantized.graph.initializer if i.data_type == onnx.TensorProto.FLOAT and len(i.dims) == 2]
    assert [list(i.dims) for i in kept] == [[32, 32]]
    outer = artifact.weights["blocks.0.outer.weight"]
    found = numpy_helper.to_array(kept[0])
    assert np.array_equal(found, outer) or np.array_equal(found, outer.T), "the one that reads the outlying unit"


def test_as_many_convolutions_stay_float_as_asked_for(tmp_path: Path) -> None:
    data = squares(rows=60)
    artifact = ResidualNet(width=8, epochs=2).train(data, context({"batch_size": 24})).artifact
    plain = run_images(artifact.graph(), data.valid.pixels).astype(np.float64)
    errors = []
    for keep in (0, 1, 3):
        quantize = Quantize.from_recipe(
            Recipe({"quantize": "static_int8", "quantize.calibration_rows": 64, "quantize.keep_float": keep})
        )
        model = quantize.apply(artifact, data.train)
        kernels = optimized_ops(model, tmp_path)
        floats = sum(count for name, count in kernels.items() if name in ("Conv", "FusedConv", "Gemm", "FusedGemm"))
        assert floats == keep
        errors.append(error(plain, run_images(model, data.valid.pixels).astype(np.float64)))
    assert errors[2] < errors[0]


@pytest.mark.parametrize("keep", [4, 16])
def test_a_form_with_every_layer_in_float_is_refused_with_their_number(keep: int) -> None:
    artifact, data = spoiled()
    told = f"quantize.keep_float={keep}: it has 4 products and convolutions: none would be in int8"
    with pytest.raises(StageFailure, match=told):
        lost(artifact, data, keep_float=keep)


def test_ranges_that_leave_out_an_outlier_lose_less() -> None:
    random = np.random.default_rng(3)
    graph = GraphBuilder("plain")
    x = graph.input("x", np.float32, ("rows", 64))
    hidden = graph.add("Gemm", x, graph.constant(random.normal(size=(64, 32)).astype(np.float32)))
    graph.output("scores", hidden, np.float32, ("rows", 32))
    model, values = graph.build(), random.normal(size=(256, 64)).astype(np.float32)
    feed = {"x": values.copy()}
    values[7, 5] = 1000.0  # one broken value among 16,384
    errors = {}
    for method in ("minmax", "percentile"):
        ranges = Calibration(rows=PlainRows(values), chosen=np.arange(256), method=method)  # type: ignore[arg-type]
        errors[method] = error(scores_of(model, feed), scores_of(static_int8(model, ranges), feed))
    assert errors["percentile"] < 0.01 * errors["minmax"]


def test_the_search_for_sensitive_layers_looks_at_pairs() -> None:
    """Two neighbours that share their range: the second choice is what helps beside the first, not alone."""
    worth = {frozenset("a"): 0.5, frozenset("b"): 0.6, frozenset("c"): 0.9, frozenset("d"): 1.0}
    together = {frozenset("ab"): 0.45, frozenset("ac"): 0.1, frozenset("ad"): 0.5}

    def quantized(kept: object) -> onnx.ModelProto:
        value = {**worth, **together}[frozenset(kept)]  # type: ignore[call-overload]
        return constant(value)

    assert most_sensitive(constant(0.0), quantized, list("abcd"), {"x": np.zeros(1, np.float32)}, 2) == ["a", "c"]
    assert most_sensitive(constant(0.0), quantized, list("acbd"), {"x": np.zeros(1, np.float32)}, 1) == ["a"]


def constant(value: float) -> onnx.ModelProto:
    """A graph that adds a number to its input."""
    node = onnx.helper.make_node("Add", ["x", "c"], ["y"])
    tensor = numpy_helper.from_array(np.array([value], np.float32), "c")
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in "xy"]
    graph = onnx.helper.make_graph([node], "constant", ends[:1], ends[1:], [tensor])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
