"""How many rows make one step of training."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, whole

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    import torch


def batches(order: "torch.Tensor", size: int) -> "Iterator[torch.Tensor]":
    """Cut an order of rows (rows,) into batches of `size`; the last may be smaller, but never a single row.

    A lone last row sits the epoch out: it has no spread for batch normalization to learn from, and another epoch's
    order brings it back.
    """
    for batch in order.split(size):
        if len(batch) > 1 or len(order) == 1:
            yield batch


def batch_count(rows: int, size: int) -> int:
    """How many batches `batches` gives for that many rows."""
    full, rest = divmod(rows, size)
    return max(full + (1 if rest > 1 else 0), 1)


@final
@dataclass(frozen=True, kw_only=True)
class BatchSize(Strategy):
    """Rows per training step.

    Small batches are noisy and often generalize better; large ones use the processor better and want a higher
    learning rate (Goyal et al. 2017, "Accurate, Large Minibatch SGD"). Range 16 to 4096 rows. More than the data has
    means one step an epoch.
    """

    name: ClassVar[str] = "batch_size"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.BATCHING
    when: ClassVar = {"model": NETWORKS}

    rows: int = whole(256, low=16, high=4096, log=True, main=True, help="rows per training step")

    def batches(self, order: "torch.Tensor") -> "Iterator[torch.Tensor]":
        """The batches of one epoch, as index tensors (size,), from an order of rows (rows,)."""
        return batches(order, self.rows)

    def steps(self, rows: int) -> int:
        """Steps of one epoch over that many rows."""
        return batch_count(rows, self.rows)
