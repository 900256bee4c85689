"""Trees in a pipeline of autoopt's are read as they were written, and trimmed where they stand."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support_models import context, run, sklearn_data
from support_stages import MODELS

from autoopt.errors import StageFailure
from autoopt.space.recipe import Recipe
from autoopt.strategies import models
from autoopt.strategies.trees.artifact import TreesArtifact
from autoopt.strategies.trees.rewritten import trees_in, trimmed_in
from autoopt.task.facts import Kind
from autoopt.task.graph.reading import read_bundled


@pytest.mark.parametrize("name", ["lightgbm", "random_forest"])
@pytest.mark.parametrize("kind", list(Kind))
def test_what_was_written_is_read_and_trimmed_in_its_place(name: str, kind: Kind) -> None:
    data = sklearn_data(kind)
    model = models()[name].from_recipe(Recipe({"model": name, **MODELS[name]}))
    written = model.train(data, context()).artifact
    assert isinstance(written, TreesArtifact)
    graph, numbers = written.graph(), data.valid.numbers
    read = trees_in(graph, written.features)
    assert (read.columns, read.link, read.average) == (written.columns, written.link, written.average)
    assert np.allclose(read.scores(numbers), written.scores(numbers), atol=1e-5, rtol=1e-5)
    graph.graph.node.append(onnx.helper.make_node("ArgMax", ["scores"], ["prediction"], axis=1, keepdims=0))
    graph.graph.output.append(onnx.helper.make_tensor_value_info("prediction", onnx.TensorProto.INT64, ["rows"]))
    made = trimmed_in(graph, data.train, score_change=0.2)
    onnx.checker.check_model(made, full_check=True)
    assert [value.name for value in made.graph.output] == ["scores", "prediction"]
    assert made.ByteSize() < graph.ByteSize()
    before, after = (run(model, numbers) for model in (graph, made))
    assert np.sqrt(np.mean((before - after) ** 2)) < 0.4 * before.std()


def test_only_trees_that_a_search_wrote_are_to_be_trimmed() -> None:
    data = sklearn_data(Kind.REGRESSION)
    model = models()["lightgbm"].from_recipe(Recipe({"model": "lightgbm", **MODELS["lightgbm"]}))
    graph = model.train(data, context()).artifact.graph()
    for producer, own in (("autoopt", True), ("OnnxMLTools", False)):
        graph.producer_name = producer
        assert read_bundled(Path("bundle"), graph.SerializeToString(), "scores").own_trees is own


def test_what_is_written_otherwise_is_refused() -> None:
    data = sklearn_data(Kind.REGRESSION)
    model = models()["lightgbm"].from_recipe(Recipe({"model": "lightgbm", **MODELS["lightgbm"]}))
    graph = model.train(data, context()).artifact.graph()
    graph.graph.node[-1].output[0] = "raw"
    graph.graph.node.append(onnx.helper.make_node("Exp", ["raw"], ["scores"]))
    with pytest.raises(StageFailure, match="behind its trees stands Exp"):
        trimmed_in(graph, data.train, score_change=0.2)
