"""Whether a user's module and its training rows are still those that a study began with."""

import hashlib
from typing import Final

from autoopt.task.facts import TaskFacts
from autoopt.task.module.items import Items
from autoopt.task.module.loading import changed_file, load_task, split_reference
from autoopt.task.spreading import spread_rows

SAMPLE_ROWS: Final = 32
_AGAIN: Final = "Search again: it is another task."


def sample_of(train: Items, *, held: bool) -> str:
    """SHA-256 over some rows, evenly spread: over all of them where they are always alike, else over their targets.

    '' where targets are random too, and nothing can be compared later on.
    """
    found = _digest(train, inputs=held)
    return found if held or _digest(train, inputs=False) == found else ""


def _digest(train: Items, *, inputs: bool) -> str:
    digest = hashlib.sha256()
    for item in train.items(spread_rows(len(train), SAMPLE_ROWS)):
        for array in (*item.inputs, item.target) if inputs else (item.target,):
            digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def other_files(facts: TaskFacts) -> str:
    """Which of the user's files is not what it was, in a sentence; '' where none is."""
    changed = changed_file(facts.module_facts.files) if facts.module_facts else None
    return f"{changed} is not what it was when the study began. {_AGAIN}" if changed else ""


def other_rows(facts: TaskFacts, train: Items) -> str:
    """How the training rows are not those of the study, in a sentence; '' where they are. Raises DataError."""
    known = facts.module_facts
    if len(train) != facts.rows["train"]:
        return f"train has {len(train)} rows; when the study began it had {facts.rows['train']}. {_AGAIN}"
    if known is not None and known.sample and _digest(train, inputs=known.held) != known.sample:
        return f"train holds other rows than when the study began. {_AGAIN}"
    return ""


def open_train(facts: TaskFacts) -> Items:
    """The user's training rows as they are now. Raises DataError for what their code raises."""
    return Items("train", load_task(facts.module).train, split_reference(facts.module)[0].parent)
