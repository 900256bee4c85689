"""Training data in memory, as they come."""

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.learning.rows import Arrays, Rows


@final
class MemoryRows(Rows):
    """Arrays (rows, ...) of this process; a forked worker sees the same pages."""

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        self._arrays = tuple(np.asarray(values) for values in arrays)

    @property
    def rows(self) -> int:
        return len(self._arrays[0])

    def take(self, indices: NDArray[np.int64]) -> Arrays:
        return tuple(values[indices] for values in self._arrays)
