"""What becomes one measured file: a recipe's own pipeline, or an ensemble of several."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from autoopt.files import StoreEntry
from autoopt.space.recipe import Recipe
from autoopt.stages.contract import Reporter, StageRun
from autoopt.task.snapshot import Snapshot


class Candidate(ABC):
    """A recipe on its way to a file. Every method raises StageFailure when it cannot be built.

    `runs` tells, in order, which stages were looked up or made and what that cost.
    """

    def __init__(self, *, snapshot: Snapshot, recipe: Recipe, report: Reporter) -> None:
        self.snapshot = snapshot
        self.facts = snapshot.facts
        self.recipe = recipe
        self.report = report
        self.runs: list[StageRun] = []

    @property
    @abstractmethod
    def lossless(self) -> bool:
        """Whether the file promises the predictions of what was trained; else its quality is measured anew."""

    @abstractmethod
    def deployed(self) -> StoreEntry:
        """The whole pipeline as one file, made now or long ago."""

    def follow(self) -> None:  # noqa: B027 - an ensemble has no training of its own
        """As a rank that does not lead: take part in the training when the leader comes to it, and keep nothing."""

    @abstractmethod
    def trained_scores(self) -> NDArray[np.float64]:
        """Predictions on valid by the trained objects themselves: (rows, classes) or (rows, 1)."""

    @abstractmethod
    def weights(self) -> Mapping[str, str]:
        """Files that retraining needs: name → absolute path."""
