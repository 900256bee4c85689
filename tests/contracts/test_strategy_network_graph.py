"""What the network's artifact promises: its graph is the trained network, and its files bring it back."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support_network import context, run, task

from autoopt.strategies.model import CODES, FEATURES, SCORES, TableData
from autoopt.strategies.networks.mlp import MLP
from autoopt.strategies.networks.mlp_graph import NetworkArtifact
from autoopt.task.facts import Kind

KINDS = tuple(Kind)


def small(**fields: object) -> MLP:
    return MLP(**{"width": 16, "depth": 2, "epochs": 2, **fields})  # type: ignore[arg-type]


def graph_error(mlp: MLP, data: TableData) -> float:
    """Largest difference between graph and torch, relative above 1."""
    trained = mlp.train(data, context({"batch_size": 32}))
    found = run(trained.artifact.graph(), data.valid)
    assert found.shape == trained.valid_scores.shape
    return float(np.max(np.abs(found - trained.valid_scores) / np.maximum(np.abs(trained.valid_scores), 1)))


@pytest.mark.parametrize("embed", [False, True], ids=["numbers", "embeddings"])
@pytest.mark.parametrize("kind", KINDS)
def test_graph_is_the_trained_network(kind: Kind, embed: bool) -> None:
    assert graph_error(small(), task(kind, embed=embed)) < 1e-5


@pytest.mark.parametrize("normalization", ["batch", "layer", "none"])
@pytest.mark.parametrize("activation", ["relu", "silu", "gelu"])
def test_graph_is_the_trained_network_in_each_form(normalization: str, activation: str) -> None:
    mlp = small(normalization=normalization, activation=activation, dropout=0.3)
    assert graph_error(mlp, task(Kind.MULTICLASS, embed=True)) < 1e-5


def test_graph_of_embeddings_alone() -> None:
    data = task(Kind.BINARY, inputs=0, embed=True)
    assert graph_error(small(), data) < 1e-5


def test_graph_of_unscaled_columns() -> None:
    data = task(Kind.BINARY)
    for features in (data.train, data.valid):
        features.numbers[:, 0] = features.numbers[:, 0] * 1e4 + 3e5
        features.numbers[:, 1] *= 1e-4
    assert graph_error(small(), data) < 1e-4  # 3e5 has an ulp of 0.03 in float32: the input itself is that coarse


def test_batch_normalization_is_folded() -> None:
    graph = small().train(task(Kind.BINARY), context()).artifact.graph()
    assert {node.op_type for node in graph.graph.node} == {"Gemm", "Relu", "Add", "Softmax"}


def test_names_types_and_free_rows() -> None:
    data = task(Kind.MULTICLASS, embed=True)
    graph = small().train(data, context()).artifact.graph().graph
    shapes = {
        value.name: (
            value.type.tensor_type.elem_type,
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {
        FEATURES: (onnx.TensorProto.FLOAT, ["rows", 5]),
        CODES: (onnx.TensorProto.INT64, ["rows", 3]),
        SCORES: (onnx.TensorProto.FLOAT, ["rows", 3]),
    }


def test_probabilities_sum_to_one_and_two_classes_have_two_columns() -> None:
    data = task(Kind.BINARY)
    trained = small().train(data, context())
    assert trained.valid_scores.shape == (data.valid.rows, 2)
    np.testing.assert_allclose(trained.valid_scores.sum(axis=1), 1, atol=1e-6)


def test_save_and_load_give_the_same_graph_and_the_same_bytes(tmp_path: Path) -> None:
    artifact = small().train(task(Kind.REGRESSION, embed=True), context()).artifact
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    artifact.save(tmp_path / "one")
    loaded = NetworkArtifact.load(tmp_path / "one")
    loaded.save(tmp_path / "two")
    assert loaded.graph().SerializeToString() == artifact.graph().SerializeToString()
    written = {p.name: p.read_bytes() for p in (tmp_path / "one").iterdir()}
    assert written == {p.name: p.read_bytes() for p in (tmp_path / "two").iterdir()}
    assert set(written) == {"architecture.json", "weights.safetensors"}


def test_same_seed_same_weights_another_seed_others() -> None:
    data = task(Kind.BINARY, embed=True)
    graphs = []
    for process_state, seed in enumerate((1, 1, 2)):
        torch.manual_seed(process_state)  # what else the process has drawn changes nothing
        graphs.append(small(dropout=0.2).train(data, context(seed=seed)).artifact.graph().SerializeToString())
    assert graphs[0] == graphs[1]
    assert graphs[0] != graphs[2]


@pytest.mark.parametrize("normalization", ["batch", "layer", "none"])
def test_untrained_has_the_shape_of_the_trained(normalization: str) -> None:
    data = task(Kind.MULTICLASS, embed=True)
    mlp = small(normalization=normalization)
    trained = mlp.train(data, context()).artifact.graph()
    random = mlp.untrained(data, context())
    assert random is not None
    assert [n.op_type for n in random.graph().graph.node] == [n.op_type for n in trained.graph.node]
    assert random.graph().ByteSize() == trained.ByteSize()
    assert not np.allclose(run(random.graph(), data.valid), run(trained, data.valid))
