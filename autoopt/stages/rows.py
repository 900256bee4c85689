"""Raw rows of a part, and slices of them, as the graphs take them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.tables.preprocess import Rows, graph_feed
from autoopt.task.facts import TaskFacts

Feed = dict[str, NDArray[Any]]
"""Graph inputs by name: double or string (rows, 1)."""


@dataclass(frozen=True, kw_only=True)
class RawRows:
    """Some rows of a part: numbers (rows, k) and categories (rows, m)."""

    numbers: NDArray[np.float64]
    categories: NDArray[np.object_]

    @property
    def rows(self) -> int:
        return len(self.numbers)


def rows_of(part: Rows, chosen: slice) -> RawRows:
    """The chosen rows of a part, without a copy."""
    return RawRows(numbers=part.numbers[chosen], categories=part.categories[chosen])


def feeds_of(facts: TaskFacts, part: Rows, *, batch: int, most: int) -> list[Feed]:
    """Up to `most` feeds of `batch` rows each, spread evenly over the part; a small part is gone through again."""
    rows = len(part.numbers)
    starts = np.unique(np.linspace(0, max(rows - batch, 0), num=most).astype(int))
    if rows >= batch:
        return [_feed(facts, part, np.arange(start, start + batch)) for start in starts]
    return [_feed(facts, part, np.arange(batch) % rows)]


def batches(facts: TaskFacts, part: Rows, batch: int) -> Iterator[Feed]:
    """The whole part in its order, `batch` rows at a time."""
    for start in range(0, len(part.numbers), batch):
        yield graph_feed(facts, rows_of(part, slice(start, start + batch)))


def _feed(facts: TaskFacts, part: Rows, index: NDArray[np.int64]) -> Feed:
    chosen = RawRows(numbers=part.numbers[index], categories=part.categories[index])
    return {name: np.ascontiguousarray(values) for name, values in graph_feed(facts, chosen).items()}
