"""Quantization: smaller files, integer kernels, scores that still agree, and clear refusals."""

import logging
import tempfile
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support_network import context, digits, optimized_ops, run, task

from autoopt.errors import StageFailure
from autoopt.strategies.deploying.quantize import (
    KIND_VALUES,
    Quantize,
    twin_choice,
)
from autoopt.strategies.deploying.quantizer import columns_differ
from autoopt.strategies.deploying.static import Calibration, static_int8
from autoopt.strategies.model import Artifact, TableData
from autoopt.strategies.networks.mlp import MLP
from autoopt.strategies.networks.mlp_graph import NetworkArtifact
from autoopt.task.facts import Kind
from autoopt.task.spreading import spread_rows

INT8 = ("dynamic_int8", "static_int8")
INTEGER_KERNELS = {"dynamic_int8": "DynamicQuantizeMatMul", "static_int8": "QGemm"}


def every_row(data: TableData) -> Calibration:
    return Calibration(rows=data.train, chosen=np.arange(data.train.rows))


@pytest.fixture(scope="module")
def wide() -> tuple[Artifact, TableData]:
    """A 512-wide network that knows the digits."""
    data = digits()
    recipe = {"batch_size": 64, "schedule": "one_cycle"}
    return MLP(width=512, depth=1, epochs=3).train(data, context(recipe)).artifact, data


@pytest.mark.parametrize("form", INT8)
def test_a_wide_network_shrinks_and_still_agrees(form: str, wide: tuple[Artifact, TableData], tmp_path: Path) -> None:
    artifact, data = wide
    quantized = Quantize(form=form).apply(artifact, data.train)
    plain = artifact.graph()
    ratio = plain.ByteSize() / quantized.ByteSize()
    expected, found = run(plain, data.valid), run(quantized, data.valid)
    agree = (expected.argmax(axis=1) == found.argmax(axis=1)).mean()
    assert ratio > 3.5
    assert agree >= 0.97
    assert not np.array_equal(expected, found)
    kernels = optimized_ops(quantized, tmp_path)
    assert kernels[INTEGER_KERNELS[form]] == 4  # stem, two of the block, head
    assert not {"Gemm", "FusedGemm", "MatMul"} & set(kernels)


@pytest.mark.parametrize("form, difference", [("fp16", 1e-3), ("bf16", 1e-2)])
def test_half_precision_is_half_the_file_and_the_float_kernels(
    form: str, difference: float, wide: tuple[Artifact, TableData], tmp_path: Path
) -> None:
    artifact, data = wide
    plain, halved = artifact.graph(), Quantize(form=form).apply(artifact, None)
    assert plain.ByteSize() / halved.ByteSize() > 1.95
    expected, found = run(plain, data.valid), run(halved, data.valid)
    assert 0 < np.abs(expected - found).max() < difference
    assert optimized_ops(halved, tmp_path) == optimized_ops(plain, tmp_path)  # no Cast is left to be run


@pytest.mark.parametrize("form", INT8)
def test_no_float_copy_of_a_matrix_is_left(form: str, wide: tuple[Artifact, TableData]) -> None:
    artifact, data = wide
    quantized = Quantize(form=form).apply(artifact, data.train)
    floats = [i for i in quantized.graph.initializer if i.data_type == onnx.TensorProto.FLOAT]
    assert max(int(np.prod(i.dims)) for i in floats) <= 512
    whole = [i for i in quantized.graph.initializer if i.data_type == onnx.TensorProto.INT8 and len(i.dims) == 2]
    assert sorted(int(np.prod(i.dims)) for i in whole) == [5120, 64 * 512, 512 * 512, 512 * 512]


@pytest.mark.parametrize("form", INT8)
@pytest.mark.parametrize("normalization", ["batch", "layer", "none"])
@pytest.mark.parametrize("activation", ["relu", "silu", "gelu"])
def test_every_product_of_every_shape_is_integer(
    form: str, normalization: str, activation: str, tmp_path: Path
) -> None:
    data = task(Kind.MULTICLASS, embed=True)
    artifact = MLP(width=32, depth=2, normalization=normalization, activation=activation).untrained(data, context())
    assert artifact is not None
    kernels = optimized_ops(Quantize(form=form).apply(artifact, data.train), tmp_path)
    assert kernels[INTEGER_KERNELS[form]] == 6
    assert not {"Gemm", "FusedGemm", "MatMul"} & set(kernels)


@pytest.mark.parametrize("form", INT8)
@pytest.mark.parametrize("kind", tuple(Kind))
def test_scores_stay_float_and_near(form: str, kind: Kind) -> None:
    data = task(kind, embed=True, rows=600)
    trained = MLP(width=32, depth=1, epochs=10).train(data, context({"batch_size": 32}))
    found = run(Quantize(form=form).apply(trained.artifact, data.train), data.valid)
    spread = 1.0 if kind.classifies else float(data.valid_target.std())
    assert np.abs(found - trained.valid_scores).mean() < 0.03 * spread
    assert len(np.unique(found[:, 0])) > data.valid.rows * 0.5  # 256 levels would show: outputs are not quantized


def test_unscaled_columns_do_not_spoil_the_ranges() -> None:
    data = task(Kind.BINARY, rows=600)
    for features in (data.train, data.valid):
        features.numbers[:, 0] *= 1e5
    trained = MLP(width=32, depth=1, epochs=10).train(data, context({"batch_size": 32}))
    found = run(Quantize(form="static_int8").apply(trained.artifact, data.train), data.valid)
    assert (found.argmax(axis=1) == trained.valid_scores.argmax(axis=1)).mean() > 0.95


def test_a_column_that_claims_the_range_gets_a_scale_of_its_own() -> None:
    data = digits()
    artifact = MLP(width=32, depth=1, epochs=4, normalization="none").train(data, context()).artifact
    assert isinstance(artifact, NetworkArtifact)
    weights = {name: array.copy() for name, array in artifact.weights.items()}
    weights["blocks.0.inner.weight"][0] *= 300  # one unit, then undone: the same function
    weights["blocks.0.inner.bias"][0] *= 300
    weights["blocks.0.outer.weight"][:, 0] /= 300
    lopsided = NetworkArtifact(architecture=artifact.architecture, weights=weights)
    assert not columns_differ(artifact.graph())
    assert columns_differ(lopsided.graph())
    per_column = static_int8(lopsided.graph(), every_row(data))
    assert any(
        len(i.dims) == 1 and i.dims[0] == 32 and i.data_type == onnx.TensorProto.INT8
        for i in per_column.graph.initializer
    )


def test_equal_biases_keep_their_own_scales() -> None:
    """Equal constants are stored once in the float graph; quantized, each product has a bias scale of its own."""
    data = digits()
    artifact = MLP(width=32, depth=2, epochs=3, normalization="none").train(data, context()).artifact
    assert isinstance(artifact, NetworkArtifact)
    flat = {n: np.full_like(a, 0.25) if n.endswith("bias") else a for n, a in artifact.weights.items()}
    same = NetworkArtifact(architecture=artifact.architecture, weights=flat)
    expected = run(same.graph(), data.valid)
    found = run(static_int8(same.graph(), every_row(data)), data.valid)
    assert np.abs(found - expected).mean() < 0.02


def test_none_is_the_float_graph() -> None:
    artifact = MLP(width=16).untrained(task(Kind.BINARY), context())
    assert artifact is not None
    assert Quantize().apply(artifact, None) == artifact.graph()


@pytest.mark.parametrize("form", INT8)
def test_same_artifact_same_bytes_and_nothing_left_behind(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    level = logging.getLogger().level
    data = task(Kind.BINARY)
    artifact = MLP(width=16).untrained(data, context())
    assert artifact is not None
    first, again = (Quantize(form=form).apply(artifact, data.train).SerializeToString() for _ in range(2))
    assert first == again
    assert list(tmp_path.iterdir()) == []
    assert logging.getLogger().level == level
    assert capfd.readouterr() == ("", "")


def test_only_standard_operators_are_in_the_file() -> None:
    data = task(Kind.BINARY)
    artifact = MLP(width=16).untrained(data, context())
    assert artifact is not None
    for form in INT8:
        model = Quantize(form=form).apply(artifact, data.train)
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
        assert model.ir_version == artifact.graph().ir_version


class Line(Artifact):
    """A linear model, as far as quantization is concerned."""

    kind: ClassVar[str] = "linear"

    def save(self, folder: Path) -> None:
        (folder / "line").write_text("")

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls()

    def graph(self) -> onnx.ModelProto:
        return onnx.ModelProto(producer_name="line")


def test_a_form_that_does_not_fit_is_refused_with_those_that_do() -> None:
    network = MLP(width=16).untrained(task(Kind.BINARY), context())
    assert network is not None
    with pytest.raises(
        StageFailure, match=r"compact does not fit .* network; what does: none, dynamic_int8, static_int8, fp16, bf16"
    ):
        Quantize(form="compact").apply(network, None)
    for form in ("compact", *INT8):
        with pytest.raises(StageFailure, match=r"linear; what does: none"):
            Quantize(form=form).apply(Line(), None)
    assert Quantize().apply(Line(), None).producer_name == "line"


def test_static_needs_calibration_rows() -> None:
    network = MLP(width=16).untrained(task(Kind.BINARY), context())
    assert network is not None
    with pytest.raises(StageFailure, match="calibration rows"):
        Quantize(form="static_int8").apply(network, None)


def test_calibration_rows_are_spread_over_all() -> None:
    chosen = spread_rows(1000, 64)
    assert (len(chosen), chosen[0], chosen[-1]) == (64, 0, 999)
    assert spread_rows(1000, 4096).tolist() == list(range(1000))


def test_more_calibration_rows_widen_the_ranges() -> None:
    data = task(Kind.BINARY, rows=3000)
    artifact = MLP(width=16).untrained(data, context())
    assert artifact is not None

    def input_scale(rows: int) -> float:
        model = Quantize(form="static_int8", calibration_rows=rows).apply(artifact, data.train)
        scales = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        return float(scales["features_scale"])

    assert input_scale(64) < input_scale(2048)


def test_twins_are_of_the_forms_that_fit() -> None:
    assert twin_choice("network") == ("static_int8", "dynamic_int8", "fp16", "bf16")
    assert twin_choice("trees") == ("compact", "trimmed")
    assert twin_choice("linear") == ()
    assert all(set(twin_choice(kind)) == set(values) - {"none"} for kind, values in KIND_VALUES.items())
