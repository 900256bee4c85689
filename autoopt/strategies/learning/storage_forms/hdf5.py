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
        file = self._handle
        return tuple(_taken(file[str(index)], indices) for index in range(len(file)))


def _taken(dataset: Any, indices: NDArray[np.int64]) -> NDArray[Any]:
    """Chunk by chunk: HDF5's own selection of scattered rows takes ten times as long."""
    shape = dataset.chunks
    chunks, places = np.divmod(indices, shape[0])
    values = np.empty((len(indices), *shape[1:]), dtype=dataset.dtype)
    for chunk in np.unique(chunks):
        _, content = dataset.id.read_direct_chunk((int(chunk) * shape[0], *(0 for _ in shape[1:])))
        chosen = chunks == chunk
        values[chosen] = np.frombuffer(content, dtype=dataset.dtype).reshape(shape)[places[chosen]]
    return values
