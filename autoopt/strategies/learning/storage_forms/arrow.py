"""Training data as record batches of one Arrow IPC file, mapped."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autoopt.strategies.learning.rows import Arrays, StoredRows, row_bytes

FILE = "rows.arrow"
_BATCH_BYTES = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Views into the mapped file: for each input the batches' rows; every batch but the last has `batch_rows`."""

    rows: int
    batch_rows: int
    inputs: tuple[tuple[NDArray[Any], ...], ...]


@final
class ArrowRows(StoredRows[Opened]):
    """`rows.arrow`: a row of an input is a fixed-size binary value, whose dtype and shape are in the schema."""

    form: ClassVar[str] = "arrow"

    @classmethod
    def write(cls, arrays: Sequence[NDArray[Any]], folder: Path) -> None:
        rows = len(arrays[0])
        batch_rows = max(1, _BATCH_BYTES // max(sum(map(row_bytes, arrays)), 1))
        fields = [
            pa.field(str(i), pa.binary(row_bytes(values)), nullable=False, metadata=_described(values))
            for i, values in enumerate(arrays)
        ]
        schema = pa.schema(fields, metadata={"batch_rows": str(batch_rows)})
        with pa.OSFile(str(folder / FILE), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for start in range(0, rows, batch_rows):
                columns = []
                for field, values in zip(fields, arrays, strict=True):
                    some = np.ascontiguousarray(values[start : start + batch_rows])
                    columns.append(pa.FixedSizeBinaryArray.from_buffers(field.type, len(some), [None, _buffer(some)]))
                writer.write_batch(pa.record_batch(columns, schema=schema))

    def _open(self, folder: Path) -> Opened:
        with pa.memory_map(str(folder / FILE)) as mapped:
            file = pa.ipc.open_file(mapped)
            schema = file.schema
            batches = [file.get_batch(i) for i in range(file.num_record_batches)]
        inputs = []
        for index, field in enumerate(schema):
            about = json.loads(field.metadata[b"array"])
            dtype, shape = np.dtype(about["dtype"]), tuple(about["shape"])
            inputs.append(tuple(_view(batch.column(index), dtype, shape) for batch in batches))
        return Opened(
            rows=sum(batch.num_rows for batch in batches),
            batch_rows=int(schema.metadata[b"batch_rows"]),
            inputs=tuple(inputs),
        )

    @property
    def rows(self) -> int:
        return self._handle.rows

    def take(self, indices: NDArray[np.int64]) -> Arrays:
        opened = self._handle
        batches, places = np.divmod(indices, opened.batch_rows)
        found = []
        for parts in opened.inputs:
            values = np.empty((len(indices), *parts[0].shape[1:]), dtype=parts[0].dtype)
            for batch in np.unique(batches):
                chosen = batches == batch
                values[chosen] = parts[batch][places[chosen]]
            found.append(values)
        return tuple(found)


def _described(values: NDArray[Any]) -> dict[str, str]:
    return {"array": json.dumps({"dtype": values.dtype.str, "shape": list(values.shape[1:])})}


def _buffer(values: NDArray[Any]) -> Any:
    return pa.py_buffer(values.reshape(-1).view(np.uint8))


def _view(column: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    flat = np.frombuffer(column.buffers()[1], dtype=dtype, count=len(column) * int(np.prod(shape, dtype=np.int64)))
    return flat.reshape(len(column), *shape)
