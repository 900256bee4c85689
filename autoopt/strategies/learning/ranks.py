"""A training by several processes: each takes its share of every batch, and all take their steps together.

Whoever trains alone has `Ranks()`, which takes every batch whole and asks nobody.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

from autoopt.errors import StageFailure
from autoopt.values import FailureReason, Rank, Slot

if TYPE_CHECKING:  # training contexts are made by processes that never train: they do without torch
    from torch import Tensor, nn

    from autoopt.strategies.learning.plan import Plan
    from autoopt.strategies.learning.training import Training

LEAST_ROWS: Final = 2
"""Of a share: a single row has no spread for batch normalization to learn from."""
T = TypeVar("T")


def share(rows: "Tensor", number: int, size: int) -> "tuple[Tensor, float]":
    """What rank `number` of `size` takes of a batch's rows (rows,), and which part of the batch's gradient that is.

    Shares are of about equal size. Of a batch too small for all, some ranks take rows for nothing, a part of 0.0: they
    have to step too.
    """
    takers = max(min(size, len(rows) // LEAST_ROWS), 1)
    if number >= takers:
        return rows[:LEAST_ROWS], 0.0
    own = rows.tensor_split(takers)[number]
    return own, len(own) / len(rows)


class Ranks:
    """The processes of one training, as one of them sees them; here it is alone. Rank 0 leads: it decides and keeps."""

    number = 0
    size = 1

    @property
    def leads(self) -> bool:
        """Whether this one judges, keeps checkpoints and says when it is over."""
        return self.number == 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth saying of a training by them."""
        return ()

    def share(self, rows: "Tensor") -> "tuple[Tensor, float]":
        """This rank's of a batch's rows (rows,), and which part of the batch's gradient comes from them."""
        return rows, 1.0

    def forward(self, network: "nn.Module", plan: "Plan") -> Callable[..., Any]:
        """What training calls in the network's place: it shares its weights."""
        return plan.compile.forward(network)

    def begin(self, training: "Training") -> None:
        """Be at the leader's state, all of it."""

    def begin_epoch(self, training: "Training") -> None:
        """Draw what is random in an epoch, but for the order of rows, otherwise than the other ranks."""

    def add_up(self, network: "nn.Module", part: float) -> None:
        """Replace the gradients by the sum of all ranks', each times its `part`."""

    def agree(self, make: Callable[[], T]) -> T:
        """What `make` gives on the leader, which alone calls it: a JSON value, as JSON gives it back."""
        return make()

    def total(self, *values: float) -> tuple[float, ...]:
        """Each value summed over all ranks."""
        return values


@final
class Devices(Ranks):
    """One process that has several GPUs compute each batch, the network's own first among them."""

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self._numbers = numbers

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"every batch was split among {len(self._numbers)} GPUs",)

    def forward(self, network: "nn.Module", plan: "Plan") -> Callable[..., Any]:
        """Not compiled. Raises StageFailure where blocks are to be recomputed: their copies would call the first."""
        import torch

        if plan.gradients.recompute:
            message = "gradients.recompute does not go with parallel=data_parallel: ddp has both"
            raise StageFailure(FailureReason.ERROR, message)
        spread: Callable[..., Any] = torch.nn.DataParallel(network, device_ids=list(self._numbers))
        return spread


@contextlib.contextmanager
def joined(rank: Rank | None, slot: Slot) -> Iterator[Ranks]:
    """Wait until all ranks of the gang are here, and be one of them; without a rank, be alone."""
    if rank is None or rank.size == 1:
        yield Devices(rank.devices) if rank is not None and rank.devices else Ranks()
        return
    from autoopt.strategies.learning.gang import gang

    with gang(rank, slot) as found:
        yield found
