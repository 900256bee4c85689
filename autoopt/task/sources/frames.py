"""pandas DataFrames. The index is not data: rows are numbered from 1 by position."""

import datetime
import decimal
import numbers
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from autoopt.errors import DataError, Problem
from autoopt.task.table import Table, encodable, from_arrow
from autoopt.task.wording import count, quoted

_MOMENTS = (datetime.datetime, datetime.date, np.datetime64)


def read_frame(frame: pd.DataFrame, name: str) -> Table:
    """A DataFrame. Columns of objects are read as text where texts and numbers are mixed."""
    if frame.columns.nlevels > 1:
        mend = "Flatten them: frame.columns = ['_'.join(c) for c in frame.columns]."
        raise DataError("The frame's columns have several levels.", mend)
    if frame.shape[1] == 0 or frame.shape[0] == 0:
        shape = f"{count(frame.shape[0], 'row')} and {count(frame.shape[1], 'column')}"
        raise DataError(f"The frame is empty: it has {shape}.", "Give a frame with a target and columns to learn from.")
    problems: list[Problem] = []
    arrays, names = [], []
    for place in range(frame.shape[1]):
        label = encodable(str(frame.columns[place]))
        array = _array(label, frame.iloc[:, place], problems)
        if array is not None:
            arrays.append(array)
            names.append(label)
    return from_arrow(name, pa.Table.from_arrays(arrays, names=names), problems=problems)


def _array(name: str, series: "pd.Series[Any]", problems: list[Problem]) -> pa.Array | None:
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype if not series.cat.categories.empty else object)
    if isinstance(series.dtype, pd.SparseDtype):
        series = pd.Series(np.asarray(series))
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_convert(None)  # Arrow's own way warns with pandas 3
    if series.dtype == object:
        return _objects(name, series, problems)
    try:
        array = None if isinstance(series.dtype, pd.PeriodDtype | pd.IntervalDtype) else pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, UnicodeEncodeError):
        array = None
    if array is None:
        what = f"Column {quoted(name)} holds {series.dtype}, which cannot be learned from."
        problems.append(Problem(what=what, mend="Drop it, or turn it into numbers or texts."))
        return None
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _objects(name: str, series: "pd.Series[Any]", problems: list[Problem]) -> pa.Array | None:
    """Python objects: one type where all are of it, else text; lists and the like are refused."""
    gone = series.isna().to_numpy()
    values = [None if missing else value for value, missing in zip(series, gone, strict=True)]
    present = [v for v in values if v is not None]
    if all(isinstance(v, bool | np.bool_) for v in present):
        return pa.array([None if v is None else bool(v) for v in values], pa.bool_())
    if all(isinstance(v, _MOMENTS) for v in present):
        return pa.Array.from_pandas(pd.to_datetime(pd.Series(values), utc=True, errors="coerce"))
    allowed = (str, bytes, numbers.Real, decimal.Decimal, np.bool_, *_MOMENTS)
    odd = [(row, v) for row, v in enumerate(values, start=1) if v is not None and not isinstance(v, allowed)]
    if odd:
        what = f"Column {quoted(name)} holds {type(odd[0][1]).__name__} objects in {count(len(odd), 'row')}"
        mend = "Drop it, or spread it over columns of numbers or texts."
        problems.append(Problem(what=f"{what} (first in row {odd[0][0]}).", mend=mend))
        return None
    if any(isinstance(v, bytes) for v in present):
        return pa.array([v if v is None or isinstance(v, bytes) else str(v).encode() for v in values], pa.binary())
    return pa.array([None if v is None else encodable(str(v)) for v in values], pa.large_string())
