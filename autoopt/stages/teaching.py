"""What teachers say of the training rows: other trials' deployed graphs, asked once for each."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import BundleError, StageFailure
from autoopt.files import Store
from autoopt.runtime import Session
from autoopt.stages import deploy
from autoopt.stages.keys import DEPLOY
from autoopt.stages.runners import GRAPH
from autoopt.strategies.learning.distill import BETWEEN, Distill
from autoopt.strategies.model import TrainingData
from autoopt.task.facts import TaskFacts
from autoopt.task.snapshot import Part
from autoopt.values import FailureReason


def answers(store: Store, key: str, facts: TaskFacts, part: Part, *, threads: int) -> NDArray[np.float32]:
    """Scores (rows, classes) or (rows, 1): the mean over the deployed graphs under a key of `distill.joined`.

    Raises StageFailure when one of them is gone.
    """
    said = [_answers_of_one(store, one, facts, part, threads) for one in key.split(BETWEEN)]
    mean: NDArray[np.float32] = np.mean(said, axis=0, dtype=np.float32)
    return mean


def _answers_of_one(store: Store, key: str, facts: TaskFacts, part: Part, threads: int) -> NDArray[np.float32]:
    entry = store.find(DEPLOY, key) if key else None
    if entry is None:
        message = "a trial that is to teach is not in this home's store: search with distill: none"
        raise StageFailure(FailureReason.ERROR, message)
    try:
        return deploy.score_rows(Session((entry.path / GRAPH).read_bytes(), threads=threads), facts, part)
    except BundleError as error:
        raise StageFailure(FailureReason.ERROR, f"The teacher's graph does not run: {error}") from error


def taught(data: TrainingData[Any], distill: Distill, said: NDArray[np.float32]) -> TrainingData[Any]:
    """The data with the teacher's answers mixed into the target."""
    if data.facts.kind.classifies:
        return replace(data, shares=distill.classes(data.train_target.astype(np.int64), said))
    return replace(data, train_target=distill.values(data.train_target.astype(np.float64), said))
