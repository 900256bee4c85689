"""A source of which each rank of a training takes its share."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import final

from torch import Tensor

from autoopt.strategies.learning.ranks import Ranks
from autoopt.strategies.learning.source import Batch, Source, WrappedSource


@final
class SharedSource(WrappedSource):
    """Another source's rows, of each group this rank's alone: the others are not even read here."""

    def __init__(self, plain: Source, ranks: Ranks) -> None:
        super().__init__(plain)
        self._ranks = ranks

    def batches(self, groups: Iterator[Tensor]) -> Iterator[Batch]:
        parts: deque[float] = deque()

        def own() -> Iterator[Tensor]:
            for rows in groups:
                chosen, part = self._ranks.share(rows)
                parts.append(part)
                yield chosen

        # The other source may read some groups ahead; it gives their batches in order.
        for batch in self._plain.batches(own()):
            yield replace(batch, part=parts.popleft())
