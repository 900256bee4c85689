"""HDF5, in any of three layouts:

* a group (the root, or the only group in it) of 1-D datasets of equal length: one column each, named as the dataset;
* one dataset with a compound type: one column a field;
* a 2-D dataset `data` with an attribute `columns`: the names of its columns.

HDF5 has no checksums of its own: of a file whose bits have changed, wrong values may be read, or the C library may
never return. Parquet is the safer format for data that travel.

Columns of a group come in alphabetical order unless the file tracks the order of creation. Links to other files are not
followed.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa

from autoopt.errors import DataError
from autoopt.task.table import Table, encodable, from_arrow
from autoopt.task.wording import listed, quoted

LAYOUTS = (
    "Accepted: a group of 1-D datasets of equal length, one dataset with a compound type, "
    "or a 2-D dataset 'data' with an attribute 'columns'."
)


def read_hdf5(path: Path) -> Table:
    """An HDF5 file. Raises DataError where it cannot be read or has none of the layouts."""
    try:
        with h5py.File(path, "r") as file:
            columns = _columns(path, file)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is not a whole HDF5 file: {reason}", "Write or fetch it again.") from None
    except (RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged: {str(error).splitlines()[0]}", "Write or fetch it again.") from None
    arrays = [_array(path, name, values) for name, values in columns]
    return from_arrow(path.name, pa.Table.from_arrays(arrays, names=[encodable(name) for name, _ in columns]))


def _columns(path: Path, group: h5py.Group) -> list[tuple[str, Any]]:
    """(name, values) of each column."""
    members = {n: group[n] for n in group if not isinstance(group.get(n, getlink=True), h5py.ExternalLink)}
    if "pandas_type" in group.attrs or any("pandas_type" in m.attrs for m in members.values()):
        raise DataError(f"{path} was written by pandas' to_hdf.", "Save the frame with to_parquet.")
    sets = {n: m for n, m in members.items() if isinstance(m, h5py.Dataset)}
    groups = [m for m in members.values() if isinstance(m, h5py.Group)]
    if not sets and len(groups) == 1:
        return _columns(path, groups[0])
    if len(sets) == 1 and not groups:
        only = next(iter(sets.values()))
        if only.dtype.names and only.ndim == 1:
            return [(name, only[name]) for name in only.dtype.names]
    if "data" in sets and sets["data"].ndim == 2 and "columns" in sets["data"].attrs:
        return _matrix(path, sets["data"])
    if sets and not groups and all(s.ndim == 1 and not s.dtype.names for s in sets.values()):
        return _vectors(path, sets)
    found = listed([f"{n} {m.shape if isinstance(m, h5py.Dataset) else '(group)'}" for n, m in members.items()])
    raise DataError(f"{path} holds no table that is understood: {found or 'nothing'}.", LAYOUTS)


def _matrix(path: Path, data: h5py.Dataset) -> list[tuple[str, Any]]:
    names = [n.decode() if isinstance(n, bytes) else str(n) for n in np.ravel(data.attrs["columns"])]
    if len(names) != data.shape[1]:
        raise DataError(f"{path}: 'data' has {data.shape[1]} columns, 'columns' has {len(names)} names.", LAYOUTS)
    values = data[()]
    return [(name, values[:, k]) for k, name in enumerate(names)]


def _vectors(path: Path, sets: dict[str, h5py.Dataset]) -> list[tuple[str, Any]]:
    lengths = {len(s) for s in sets.values()}
    if len(lengths) > 1:
        each = listed([f"{n} has {len(s):,}" for n, s in sets.items()])
        raise DataError(f"{path}: the datasets differ in length: {each}.", "Every column needs a value for every row.")
    return [(name, dataset[()]) for name, dataset in sets.items()]


def _array(path: Path, name: str, values: Any) -> pa.Array:
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"{path}: column {quoted(name)} has the shape {array.shape}, not one value a row.", LAYOUTS)
    if array.dtype.kind in "OS":
        try:
            return pa.array([v.decode() if isinstance(v, bytes) else str(v) for v in array], pa.large_string())
        except (UnicodeDecodeError, UnicodeEncodeError) as error:
            raise DataError(f"{path}: column {quoted(name)} is not UTF-8: {error}.", "Write it as UTF-8.") from None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path}: column {quoted(name)} holds {array.dtype}.", "Use numbers, booleans or texts.")
    if array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return pa.array(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))
