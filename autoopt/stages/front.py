"""front.json of a task. Apart from `rows`: whoever loads a bundle does without the libraries that hold data."""

from typing import Any

from autoopt.runtime.front import FrontInput, front_json
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
    )


def _front_input(facts: TaskFacts, array: TensorFacts) -> FrontInput:
    if facts.modality is Modality.IMAGES:
        return FrontInput.image(array.name, *array.shape[:2])
    return FrontInput.tensor(array.name, array.dtype, array.shape)
