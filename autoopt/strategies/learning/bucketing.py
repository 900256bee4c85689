"""Batches of texts of similar length, cut to the longest of the batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, final

from autoopt.strategies.base import SEQUENCES, Stage, Strategy, Topic, choice

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import Tensor

    from autoopt.strategies.learning.source import Source

WINDOW_BATCHES = 32


def regrouped(
    groups: "Iterator[Tensor]", lengths: "Tensor", window: int = WINDOW_BATCHES
) -> "Iterator[tuple[Tensor, int]]":
    """The rows of the groups in groups of the same sizes but of similar length: (row numbers, greatest length).

    Within `window` groups rows are sorted by length, cut again, and the groups come in an order that does not follow
    the lengths. Every row comes exactly as often as before. `lengths` is int64 (rows,).
    """
    import torch

    while taken := list(islice(groups, window)):
        rows = torch.cat(taken)
        by_length = rows[lengths[rows].argsort(stable=True)]
        cut = by_length.split([len(group) for group in taken])
        # Row numbers that come in random order give a random order of the groups, the same each time.
        for place in rows[: len(taken)].argsort().tolist():
            yield cut[place], max(int(lengths[cut[place]].max()), 1)


@final
@dataclass(frozen=True, kw_only=True)
class Bucketing(Strategy):
    """Whether the texts of a training step are of similar length.

    by_length sorts the rows of 32 batches by their number of tokens, and cuts each batch to its longest text: steps do
    not compute on padding. Epochs get faster by up to the ratio of the longest text to the usual one, most of all for
    transformers; batches still come in random order, and the rows of one batch are alike in length. none computes
    every batch at full length. (Khomenko et al. 2016, "Accelerating recurrent neural network training using sequence
    bucketing".)
    """

    name: ClassVar[str] = "bucketing"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.BATCHING
    when: ClassVar = {"model": SEQUENCES}

    form: str = choice("by_length", "none", main=True, help="which texts make one training step")

    def source(self, plain: "Source", lengths: "Tensor") -> "Source":
        """The rows of `plain`, whose first input is padded to one length, as this strategy wants them in batches.

        `lengths`: tokens of each row, int64 (rows,), on the CPU.
        """
        from autoopt.strategies.learning.bucketed_source import BucketedSource

        return BucketedSource(plain, lengths) if self.form == "by_length" else plain
