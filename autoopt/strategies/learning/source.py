"""Where training rows come from: batches on the training device, in the order that is asked for."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

if TYPE_CHECKING:
    from autoopt.strategies.learning.ranks import Ranks


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of one step. Inputs as the network's `forward` takes them, first dimension rows."""

    inputs: tuple[Tensor, ...]
    target: Tensor  # int64 (rows,) classes, float32 (rows, classes) mixed classes, or float32 (rows, 1) values
    part: float = 1.0  # of the step's gradient, where other ranks have the rest; 0.0: these rows count for nothing

    def __len__(self) -> int:
        return len(self.target)

    @property
    def counted(self) -> int:
        """Rows that are learned from."""
        return len(self) if self.part > 0 else 0


class Source(ABC):
    """Training rows. `len` tells how many there are."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where its batches lie."""

    @property
    @abstractmethod
    def classifies(self) -> bool:
        """Whether its targets are classes."""

    @abstractmethod
    def batches(self, groups: Iterator[Tensor]) -> Iterator[Batch]:
        """One batch for each group of row numbers, int64 (size,), in the order of the groups."""

    def shared(self, ranks: "Ranks") -> "Source":
        """The same rows for one of several ranks, which reads its share of each group alone."""
        if ranks.size == 1:
            return self
        from autoopt.strategies.learning.shared_source import SharedSource  # which is a source itself

        return SharedSource(self, ranks)

    def close(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give back what it holds beside memory, such as loader workers."""


class WrappedSource(Source):
    """Another source's rows, given otherwise."""

    def __init__(self, plain: Source) -> None:
        self._plain = plain

    def __len__(self) -> int:
        return len(self._plain)

    @property
    def device(self) -> torch.device:
        return self._plain.device

    @property
    def classifies(self) -> bool:
        return self._plain.classifies

    def close(self) -> None:
        self._plain.close()


@final
class TensorSource(Source):
    """Rows that are whole tensors on the training device: small data fit, and a loader would cost more than steps."""

    def __init__(self, inputs: tuple[Tensor, ...], target: Tensor) -> None:
        self._inputs = inputs
        self._target = target

    def __len__(self) -> int:
        return len(self._target)

    @property
    def device(self) -> torch.device:
        return self._target.device

    @property
    def classifies(self) -> bool:
        # Values have one column, a teacher's shares of classes two or more
        return not self._target.is_floating_point() or self._target.shape[1] > 1

    def batches(self, groups: Iterator[Tensor]) -> Iterator[Batch]:
        for rows in groups:
            chosen = rows.to(self.device)
            # Whole rows at a time: plain indexing takes more than four times as long for images.
            inputs = tuple(values.index_select(0, chosen) for values in self._inputs)
            yield Batch(inputs=inputs, target=self._target[chosen])
