"""Training data as numpy files that are mapped, never read whole."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.learning.rows import Arrays, StoredRows, pieces, row_bytes


@final
class MemmapRows(StoredRows[Arrays]):
    """`input_0.npy`, `input_1.npy`, ...: the kernel reads the pages that are asked for, and drops them when it must."""

    form: ClassVar[str] = "memmap"

    @classmethod
    def write(cls, arrays: Sequence[NDArray[Any]], folder: Path) -> None:
        for index, values in enumerate(arrays):
            path = folder / f"input_{index}.npy"
            written = np.lib.format.open_memmap(path, mode="w+", dtype=values.dtype, shape=values.shape)
            for piece in pieces(len(values), row_bytes(values)):
                written[piece] = values[piece]
            written.flush()

    def _open(self, folder: Path) -> Arrays:
        found = sorted(folder.glob("input_*.npy"), key=lambda path: int(path.stem.partition("_")[2]))
        return tuple(np.load(path, mmap_mode="r", allow_pickle=False) for path in found)

    @property
    def rows(self) -> int:
        return len(self._handle[0])

    def take(self, indices: NDArray[np.int64]) -> Arrays:
        return tuple(np.asarray(values[indices]) for values in self._handle)
