"""The packed file of a model: the same model, in fewer bytes."""

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from support_models import FEATURES, Kind, context, sklearn_data

from autoopt.strategies.trees.artifact import TreesArtifact
from autoopt.strategies.trees.decision_tree import DecisionTree
from autoopt.strategies.trees.packed import packed_bytes


def _artifact(kind: Kind) -> TreesArtifact:
    artifact = DecisionTree(min_samples_leaf=1).train(sklearn_data(kind), context()).artifact
    assert isinstance(artifact, TreesArtifact)
    return artifact


def test_packed_models_are_read_back_equal_and_are_smaller() -> None:
    for kind in Kind:
        artifact = _artifact(kind)
        for model in (artifact.graph(), artifact.compact_graph()):
            content = packed_bytes(model)
            assert onnx.load_from_string(content) == model
            assert len(content) < model.ByteSize()


def test_the_runtime_computes_the_same_from_a_packed_file() -> None:
    model, numbers = _artifact(Kind.MULTICLASS).compact_graph(), sklearn_data(Kind.MULTICLASS).valid.numbers
    plain, packed = (
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {FEATURES: numbers})[0]
        for content in (model.SerializeToString(), packed_bytes(model))
    )
    assert np.array_equal(plain, packed)


def test_numbers_of_every_length_and_sign_survive() -> None:
    edges = [0, 1, 127, 128, 16383, 16384, 2**31, 2**32 - 1, 2**62, 2**63 - 1, -1, -(2**63)]
    node = helper.make_node("Any", [], ["y"], domain="own", numbers=edges, parts=[0.5, -0.0, 3e38], text="t", one=3)
    graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])])
    model = helper.make_model(graph)
    helper.set_model_props(model, {"b": "2", "a": "1"})
    again = onnx.load_from_string(packed_bytes(model))
    assert again == model
    assert list(again.graph.node[0].attribute[0].ints) == edges
