"""Reads a time column: ISO 8601, numbers (a year, seconds since 1970), or day.month.year where that is unambiguous."""

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from autoopt.errors import Problem
from autoopt.task.parsing import Moments, Numbers, Texts, parse
from autoopt.task.wording import counted_rows, listed, quoted

_MEND = "Write times as 2026-01-31 or 2026-01-31T12:00:00, or as numbers."
_ORDERED = ("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d", "%Y/%m/%d %H:%M:%S", "%d %b %Y", "%b %d, %Y")
_DAY_FIRST, _MONTH_FIRST = ("%d/%m/%Y", "%d-%m-%Y"), ("%m/%d/%Y", "%m-%d-%Y")


def moments(name: str, array: pa.Array, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64] | None, Problem | None]:
    """Values that sort by time, or the problem that keeps them from it."""
    option = f"--time-column {quoted(name)}"
    parsed = parse(array)
    missing = parsed.missing
    if missing.any():
        what = f"{option} has no value in {counted_rows(rows[missing])}."
        return None, Problem(what=what, mend="Fill these in, or remove the rows.")
    if isinstance(parsed, Moments):
        return parsed.values.astype(np.float64), None
    if isinstance(parsed, Numbers):
        if np.isinf(parsed.values).any():
            return None, Problem(
                what=f"{option} is infinite in {counted_rows(rows[np.isinf(parsed.values)])}.", mend=_MEND
            )
        return parsed.values, None
    return _of_texts(option, parsed, rows)


def _of_texts(option: str, texts: Texts, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64] | None, Problem | None]:
    words = pd.Series(texts.values[1:], dtype=object)
    iso = _seconds(words, "ISO8601")
    if not np.isnan(iso).any():
        return iso[texts.codes - 1], None
    for pattern in _ORDERED:
        found = _seconds(words, pattern)
        if not np.isnan(found).any():
            return found[texts.codes - 1], None
    for day, month in zip(_DAY_FIRST, _MONTH_FIRST, strict=True):
        both = [_seconds(words, pattern) for pattern in (day, month)]
        whole = [f for f in both if not np.isnan(f).any()]
        if len(whole) == 2:
            what = f"{option} holds dates such as {quoted(words[0])}: day or month first cannot be told."
            return None, Problem(what=what, mend=_MEND)
        if whole:
            return whole[0][texts.codes - 1], None
    bad = np.isnan(iso)
    at = rows[np.concatenate([[False], bad])[texts.codes]]
    what = f"{option} cannot be read as a time in {counted_rows(at)}: {listed(words[bad], shown=3)}."
    return None, Problem(what=what, mend=_MEND)


def _seconds(words: "pd.Series[str]", pattern: str) -> NDArray[np.float64]:
    """Seconds since 1970 in UTC, NaN where the pattern does not fit."""
    read = pd.to_datetime(words, format=pattern, errors="coerce", utc=True)
    micros = read.dt.tz_convert(None).to_numpy().astype("datetime64[us]")  # years beyond what nanoseconds can hold
    return np.where(np.isnat(micros), np.nan, micros.astype(np.int64) / 1e6)
