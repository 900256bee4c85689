"""front.json of a task. Apart from `rows`: whoever loads a bundle does without the libraries that hold data."""

from typing import Any

from autoopt.runtime.front import SCORES, FrontInput, front_json
from autoopt.task.facts import Modality, TaskFacts, TensorFacts


def front_of(facts: TaskFacts) -> dict[str, Any]:
    """The content of front.json: a task's raw inputs as people have them, and what its scores mean."""
    return front_json(
        number_columns=facts.number_columns,
        category_columns=facts.category_columns,
        text_columns=facts.text_columns,
        arrays=[_front_input(facts, t) for t in facts.tensors],
        kind=facts.kind.value,
        classes=facts.classes,
        numeric_classes=facts.numeric_classes,
        target=facts.target,
        scores=SCORES if facts.graph is None else facts.graph.scores,
        form="" if facts.graph is None else facts.graph.form,
    )


def _front_input(facts: TaskFacts, array: TensorFacts) -> FrontInput:
    if facts.raw_form is Modality.IMAGES:
        return FrontInput.image(array.name, array.shape[0], array.shape[1], array.pixels)
    return FrontInput.tensor(array.name, array.dtype, array.shape, array.columns)
