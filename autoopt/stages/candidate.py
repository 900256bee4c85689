"""What becomes one measured file: a recipe's own pipeline, or an ensemble of several."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.files import Store, StoreEntry
from autoopt.space.recipe import Recipe
from autoopt.stages.contract import Reporter, StageRun
from autoopt.task.snapshot import Snapshot
from autoopt.values import FailureReason


class Candidate(ABC):
    """A recipe on its way to a file. Every method raises StageFailure when it cannot be built.

    `runs` tells, in order, which stages were looked up or made and what that cost.
    """

    def __init__(self, *, snapshot: Snapshot, store: Store, recipe: Recipe, report: Reporter) -> None:
        self.snapshot = snapshot
        self.store = store
        self.facts = snapshot.facts
        self.recipe = recipe
        self.report = report
        self.runs: list[StageRun] = []
        self._entries: dict[str, StoreEntry] = {}  # by stage

    def found_or_made(
        self,
        stage: str,
        key: str,
        make: Callable[[Path], None],
        needs: tuple[Callable[[], StoreEntry], ...] = (),
    ) -> StoreEntry:
        """The stage's entry of the store, looked for once; what is not there is made, after what it needs.

        It is noted in `runs`.
        """
        if stage in self._entries:
            return self._entries[stage]
        self.report(stage)
        began = time.monotonic()
        entry = self.store.find(stage, key)
        hit = entry is not None
        if entry is None:
            for parent in needs:
                parent()
            self.report(stage)
            began = time.monotonic()
            with self.store.make(stage, key) as folder:
                make(folder)
            entry = self.store.find(stage, key, verify=False)
        if entry is None:
            message = f"The result of stage {stage} vanished from the store right after it was written."
            raise StageFailure(FailureReason.CRASHED, message)
        seconds = time.monotonic() - began
        self.runs = [run for run in self.runs if run.name != stage]
        self.runs.append(StageRun(name=stage, key=key, hit=hit, seconds=seconds, size_bytes=entry.size_bytes))
        self._entries[stage] = entry
        return entry

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
