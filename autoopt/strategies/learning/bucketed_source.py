"""A source whose batches are of similar length."""

from collections.abc import Iterator
from dataclasses import replace
from typing import final

from torch import Tensor

from autoopt.strategies.learning.bucketing import regrouped
from autoopt.strategies.learning.ranks import Ranks
from autoopt.strategies.learning.source import Batch, Source, WrappedSource


@final
class BucketedSource(WrappedSource):
    """Another source's rows, its first input, token numbers (rows, length), cut to the longest text of each batch."""

    def __init__(self, plain: Source, lengths: Tensor) -> None:
        super().__init__(plain)
        self._lengths = lengths

    def batches(self, groups: Iterator[Tensor]) -> Iterator[Batch]:
        longest: list[int] = []

        def rows() -> Iterator[Tensor]:
            for chosen, length in regrouped(groups, self._lengths):
                longest.append(length)
                yield chosen

        # The other source may read some groups ahead; it gives their batches in order.
        for batch in self._plain.batches(rows()):
            codes, *others = batch.inputs
            yield replace(batch, inputs=(codes[:, : longest.pop(0)], *others))

    def shared(self, ranks: Ranks) -> Source:
        # Grouped by length first, and then shared: the shares of a step are of one length on all ranks.
        return BucketedSource(self._plain.shared(ranks), self._lengths)
