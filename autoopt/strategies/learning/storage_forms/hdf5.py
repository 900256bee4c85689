"""Training data as chunked datasets of one HDF5 file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, final

import h5py
import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.learning.rows import Arrays, StoredRows, pieces, row_bytes

FILE = "rows.h5"
_CHUNK_BYTES = 1 << 14


@final
class Hdf5Rows(StoredRows["h5py.File"]):
    """`rows.h5` with the datasets "0", "1", ..., in chunks of about 16 kB: rows come in any order."""

    form: ClassVar[str] = "hdf5"

    @classmethod
    def write(cls, arrays: Sequence[NDArray[Any]], folder: Path) -> None:
        with h5py.File(folder / FILE, "w") as file:
            for index, values in enumerate(arrays):
                chunk_rows = max(1, min(len(values), _CHUNK_BYTES // max(row_bytes(values), 1)))
                chunks = (chunk_rows, *values.shape[1:])
                dataset = file.create_dataset(str(index), values.shape, values.dtype, chunks=chunks)
                for piece in pieces(len(values), row_bytes(values)):
                    dataset[piece] = values[piece]

    def _open(self, folder: Path) -> "h5py.File":
        return h5py.File(folder / FILE, "r")

    @property
    def rows(self) -> int:
        return len(self._handle["0"])

    def take(self, indices: NDArray[np.int64]) -> Arrays:
        # HDF5 reads a selection in rising order and each row once.
        wanted, places = np.unique(indices, return_inverse=True)
        file = self._handle
        return tuple(file[str(index)][wanted][places] for index in range(len(file)))
