"""What a guess that looks at no column would score: the figure beside which every other is read."""

from typing import Any

from numpy.typing import NDArray

from autoopt.task.facts import TaskFacts
from autoopt.task.scoring import dummy_scores, score


def baseline_quality(facts: TaskFacts, train_target: NDArray[Any], target: NDArray[Any]) -> float:
    """The task's metric for class shares of train (or its mean, its median) given for every row of `target`."""
    return score(facts.metric, facts, target, dummy_scores(facts, train_target, len(target)))
