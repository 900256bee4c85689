"""Raw rows of a part, and slices of them, as the graphs take them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.runtime.front import graph_input_name
from autoopt.strategies.deploying.brought import as_graph_takes
from autoopt.strategies.tables.preprocess import graph_feed
from autoopt.strategies.text.tokenizer import text_batches
from autoopt.task.facts import TaskFacts
from autoopt.task.snapshot import Part

Feed = dict[str, NDArray[Any]]
"""Graph inputs by name: double or string (rows, 1) for columns, (rows, ...) for pixels and a module's inputs."""


def feed_of(facts: TaskFacts, part: Part) -> Feed:
    """All rows of a part as the inputs of the whole pipeline's graph."""
    tensors = {t.name: as_graph_takes(t, values) for t, values in zip(facts.tensors, part.tensors, strict=True)}
    return {**columns_of(facts, part), **tensors}


def columns_of(facts: TaskFacts, part: Part) -> Feed:
    """The same of the columns alone."""
    texts = {graph_input_name(c): part.texts[:, j : j + 1] for j, c in enumerate(facts.text_columns)}
    return {**graph_feed(facts, part), **texts}


def feeds_of(facts: TaskFacts, part: Part, *, batch: int, most: int) -> list[Feed]:
    """Up to `most` feeds of `batch` rows each, spread evenly over the part; a small part is gone through again."""
    rows = part.rows
    starts = np.unique(np.linspace(0, max(rows - batch, 0), num=most).astype(int))
    if rows >= batch:
        return [_feed(facts, part, np.arange(start, start + batch)) for start in starts]
    return [_feed(facts, part, np.arange(batch) % rows)]


def batches(facts: TaskFacts, part: Part, batch: int) -> Iterator[Feed]:
    """The whole part in its order, `batch` rows at a time; fewer where texts are long."""
    every = (slice(start, start + batch) for start in range(0, part.rows, batch))
    for rows in text_batches(part.texts, batch) if facts.text_columns else every:
        yield feed_of(facts, part.take(rows))


def _feed(facts: TaskFacts, part: Part, index: NDArray[np.int64]) -> Feed:
    return {name: np.ascontiguousarray(values) for name, values in feed_of(facts, part.take(index)).items()}
