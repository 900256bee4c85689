"""The output beside the scores: labels as the data have them, or the values."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

from autoopt.runtime import Session
from autoopt.stages.predictions import append_prediction
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import SCORES
from autoopt.task.facts import Kind, Modality, TaskFacts

FACTS = TaskFacts(
    name="t",
    modality=Modality.TABULAR,
    kind=Kind.MULTICLASS,
    metric="accuracy",
    metric_direction="maximize",
    target="y",
    classes=("a", "Ł", "c"),
    numeric_classes=False,
    columns=(),
    rows={},
    fingerprint="f",
)


def _run(facts: TaskFacts, width: int, values: Any, column: str = "x") -> dict[str, Any]:
    graph = GraphBuilder("scores")
    graph.output(
        SCORES, graph.add("Neg", graph.input(column, np.float32, ("rows", width))), np.float32, ("rows", width)
    )
    model = graph.build()
    append_prediction(model.graph, facts)
    onnx.checker.check_model(model, full_check=True)
    return Session(model.SerializeToString()).run_all({column: -np.array(values, dtype=np.float32)})


@pytest.mark.parametrize(
    ("classes", "numeric", "expected"),
    [
        (("a", "Ł", "c"), False, ["Ł", "a"]),
        (("3", "5", "-7"), True, [5, 3]),
        (("0.5", "1.5", "2"), True, [1.5, 0.5]),
        (("3", "5", "7"), False, ["5", "3"]),
    ],
)
def test_labels_are_as_the_data_have_them(classes: tuple[str, ...], numeric: bool, expected: list[Any]) -> None:
    facts = replace(FACTS, classes=classes, numeric_classes=numeric)
    found = _run(facts, 3, [[0.1, 0.7, 0.2], [0.4, 0.4, 0.2]])
    assert found["prediction"].tolist() == expected


def test_values_are_given_flat() -> None:
    facts = replace(FACTS, kind=Kind.REGRESSION, classes=())
    found = _run(facts, 1, [[1.5], [-2.0], [0.0]])
    assert found["prediction"].tolist() == [1.5, -2.0, 0.0]
    assert found["prediction"].shape == (3,)


def test_a_column_of_that_name_keeps_it() -> None:
    found = _run(FACTS, 3, [[0.1, 0.7, 0.2]], column="prediction")
    assert set(found) == {"scores", "prediction_"}
    assert set(_run(FACTS, 3, [[0.1, 0.7, 0.2]], column="labels/best")) == {"scores", "prediction"}
