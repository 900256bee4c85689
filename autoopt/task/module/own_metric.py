"""A metric that is a function of the user's: loaded again from its file in whichever process scores."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError, StageFailure
from autoopt.task.facts import TaskFacts
from autoopt.task.module.loading import load_task, split_reference, user_code
from autoopt.values import FailureReason


def own_formula(
    facts: TaskFacts, target: NDArray[Any], scores: NDArray[np.float64]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Row weights (rounds, rows), whole numbers → the metric of each round, rows repeated as often as they weigh.

    The function gets probabilities (rows, classes) and classes (rows,), or values (rows,) both. Raises DataError for
    what it raises and for what is no number.
    """
    metric = load_task(facts.module).metric
    if not callable(metric):
        raise StageFailure(FailureReason.ERROR, f"{facts.module} no longer gives a metric that is a function.")
    given = scores if facts.kind.classifies else scores[:, 0]
    folder = split_reference(facts.module)[0].parent

    def value(weights: NDArray[np.float64]) -> float:
        rows = np.repeat(np.arange(len(target)), weights.astype(np.int64))
        with user_code(f"The metric {facts.metric}", folder):
            found = metric(given[rows], target[rows])
        try:
            return float(found)
        except (TypeError, ValueError):
            what = f"The metric {facts.metric} gave a {type(found).__name__}."
            raise DataError(what, "Let it give one number.") from None

    return lambda weights: np.array([value(w) for w in weights])
