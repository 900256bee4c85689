"""The user's task in a process that trains: loaded again from its file, which must be what it was."""

import contextlib
from collections.abc import Iterator
from typing import final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError, StageFailure
from autoopt.strategies.learning.rows import Arrays, Rows
from autoopt.task.facts import TaskFacts
from autoopt.task.module import ModuleTask
from autoopt.task.module.items import Items
from autoopt.task.module.loading import load_task, split_reference, told
from autoopt.task.module.unchanged import open_train, other_files, other_rows
from autoopt.values import FailureReason

_OUT_OF_MEMORY = "DefaultCPUAllocator"
"""What torch says when the machine's own memory is spent."""


def own_task(facts: TaskFacts) -> ModuleTask:
    """The task of the user's file. Raises StageFailure when the file is no longer what the study began with."""
    if facts.module_facts is None:
        raise StageFailure(FailureReason.ERROR, "The task has no module of the user's own.")
    if changed := other_files(facts):
        raise StageFailure(FailureReason.ERROR, changed)
    return load_task(facts.module)


@contextlib.contextmanager
def own_code(facts: TaskFacts) -> Iterator[None]:
    """What the user's code raises becomes a StageFailure that names its line."""
    import torch

    try:
        yield
    except (StageFailure, MemoryError, torch.OutOfMemoryError):
        raise
    except DataError as error:
        # What a loader worker raised comes back with its traceback in the text, the error itself in the last line.
        last = error.problems[0].what.strip().splitlines()[-1].removeprefix("autoopt.errors.DataError: ")
        raise StageFailure(FailureReason.ERROR, last) from error
    except Exception as error:
        if _OUT_OF_MEMORY in str(error):
            raise StageFailure(FailureReason.OUT_OF_MEMORY, "the memory of this machine is spent") from error
        folder = split_reference(facts.module)[0].parent
        raise StageFailure(FailureReason.ERROR, told(error, folder)) from error


@contextlib.contextmanager
def training_items(facts: TaskFacts) -> Iterator[Items]:
    """The user's training rows. Raises StageFailure for what their code raises, or when they have changed."""
    with own_code(facts):
        own_task(facts)  # whose files are looked at first
        items = open_train(facts)
        if changed := other_rows(facts, items):
            raise StageFailure(FailureReason.ERROR, changed)
        yield items


@final
class ItemRows(Rows):
    """Rows of the user's dataset, fetched when they are due: what random augmentation makes of them stays random."""

    def __init__(self, items: Items, *, classifies: bool) -> None:
        self._items = items
        self._classifies = classifies

    @property
    def rows(self) -> int:
        return len(self._items)

    def take(self, indices: NDArray[np.int64]) -> Arrays:
        """Inputs (n, ...), and last the target: int64 classes (n,), or float32 values (n, 1)."""
        inputs, target = self._items.arrays(indices)
        return (*inputs, target.astype(np.int64) if self._classifies else target.astype(np.float32)[:, None])
