"""Networks of convolutions in int8: all of it in integers, small, and of the same opinion as the float one."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support_network import context, optimized_ops
from support_squares import run_images, squares

from autoopt.errors import StageFailure
from autoopt.space.recipe import Recipe
from autoopt.strategies import twin_values
from autoopt.strategies.deploying.convolutions import mostly_convolutions
from autoopt.strategies.deploying.quantize import Quantize
from autoopt.strategies.model import Artifact, TrainingData
from autoopt.strategies.networks.images.depthwise_net import DepthwiseNet
from autoopt.strategies.networks.images.image_network import ImageNetwork
from autoopt.strategies.networks.images.patch_net import PatchNet
from autoopt.strategies.networks.images.residual_net import ResidualNet
from autoopt.strategies.prepared import Pixels

NETWORKS: dict[str, ImageNetwork] = {
    "residual_net": ResidualNet(width=12, epochs=4),
    "depthwise_net": DepthwiseNet(width=16, depth=1, epochs=8),
    "patch_net": PatchNet(width=64, depth=1, epochs=8),
}
STATIC = Quantize(form="static_int8", calibration_rows=64)


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request: pytest.FixtureRequest) -> tuple[Artifact, TrainingData[Pixels]]:
    data = squares()
    recipe = {"batch_size": 24, "optimizer.learning_rate": 0.005, "schedule": "one_cycle"}
    return NETWORKS[request.param].train(data, context(recipe)).artifact, data


def test_every_product_is_integer_and_the_scores_still_agree(
    trained: tuple[Artifact, TrainingData[Pixels]], tmp_path: Path
) -> None:
    artifact, data = trained
    plain, quantized = artifact.graph(), STATIC.apply(artifact, data.train)
    convolutions = sum(node.op_type == "Conv" for node in plain.graph.node)
    kernels = optimized_ops(quantized, tmp_path)
    assert kernels["QLinearConv"] == convolutions
    assert kernels["QGemm"] == 1
    assert not {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul"} & set(kernels)
    expected, found = run_images(plain, data.valid.pixels), run_images(quantized, data.valid.pixels)
    assert (expected.argmax(1) == found.argmax(1)).mean() >= 0.95
    assert np.abs(expected - found).mean() < 0.03
    assert len(np.unique(found[:, 0])) > data.valid.rows * 0.5  # 256 levels would show: scores are not quantized


def test_no_float_copy_of_a_matrix_is_left(trained: tuple[Artifact, TrainingData[Pixels]]) -> None:
    artifact, data = trained
    quantized = STATIC.apply(artifact, data.train)
    kept = {i.name: i for i in quantized.graph.initializer}
    floats = [np.prod(i.dims) for i in kept.values() if i.data_type == onnx.TensorProto.FLOAT]
    assert max(floats) <= 512  # scales, one for each channel
    whole = sum(int(np.prod(i.dims)) for i in kept.values() if i.data_type == onnx.TensorProto.INT8)
    products = {n.input[1] for n in artifact.graph().graph.node if n.op_type in ("Conv", "Gemm")}
    assert whole >= sum(int(np.prod(i.dims)) for i in artifact.graph().graph.initializer if i.name in products)


def test_only_standard_operators_and_the_same_bytes_again(trained: tuple[Artifact, TrainingData[Pixels]]) -> None:
    artifact, data = trained
    first, again = (STATIC.apply(artifact, data.train) for _ in range(2))
    assert {node.domain for node in first.graph.node} <= {"", "ai.onnx"}
    assert first.SerializeToString() == again.SerializeToString()


def test_dynamic_ranges_are_refused_with_what_serves(trained: tuple[Artifact, TrainingData[Pixels]]) -> None:
    artifact, data = trained
    with pytest.raises(StageFailure, match="of no use to a network of convolutions; static_int8 is"):
        Quantize(form="dynamic_int8").apply(artifact, data.train)


def test_the_wide_network_takes_a_quarter_of_the_bytes() -> None:
    data = squares(rows=60)
    artifact = ResidualNet(width=24).untrained(data, context())
    assert artifact is not None
    assert artifact.graph().ByteSize() / STATIC.apply(artifact, data.train).ByteSize() > 3.5


def test_attention_is_quantized_as_products_are() -> None:
    data = squares(rows=60)
    artifact = PatchNet(mixer="attention", width=192, depth=1).untrained(data, context())
    assert artifact is not None
    assert not mostly_convolutions(artifact.graph())
    for form in ("static_int8", "dynamic_int8"):
        quantized = Quantize(form=form).apply(artifact, data.train)
        assert artifact.graph().ByteSize() / quantized.ByteSize() > 2
        expected, found = (run_images(g, data.valid.pixels) for g in (artifact.graph(), quantized))
        assert np.abs(expected - found).max() < 0.1


def test_no_twin_of_convolutions_has_dynamic_ranges() -> None:
    assert twin_values(Recipe({"model": "residual_net"})) == ("static_int8", "fp16", "bf16")
    assert twin_values(Recipe({"model": "depthwise_net"})) == ("static_int8", "fp16", "bf16")
    assert twin_values(Recipe({"model": "patch_net"})) == ("static_int8", "dynamic_int8", "fp16", "bf16")
