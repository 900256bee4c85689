"""Rows to predict: no target is needed, other columns are not looked at."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from autoopt.errors import DataError, Problem
from autoopt.task.parsing import Numbers, Texts, parse
from autoopt.task.table import TEXT, Table
from autoopt.task.wording import count, counted_rows, listed, nearest, quoted


def rows_of(
    table: Table,
    *,
    number_columns: Sequence[str] = (),
    category_columns: Sequence[str] = (),
    text_columns: Sequence[str] = (),
) -> pd.DataFrame:
    """The named columns, in this order: float64 with NaN, then text with '' where missing.

    Truth values come as 1.0 and 0.0. Raises DataError with every problem: columns that are not there (all of them),
    rows that cannot be read, texts and infinities among numbers.
    """
    needed = [*number_columns, *category_columns, *text_columns]
    problems = [*column_problems(table, needed), *(p for p in table.problems if not _is_of_columns(p))]
    problems += _absent(table, needed)
    columns: dict[str, NDArray[np.generic]] = {}
    for name in number_columns:
        if name in table.names:
            columns[name] = _numbers(name, table, problems)
    for name in (*category_columns, *text_columns):
        if name in table.names:
            columns[name] = _texts(table.column(name))
    if problems:
        raise DataError(problems)
    return pd.DataFrame(columns)


def column_problems(table: Table, names: Sequence[str]) -> list[Problem]:
    """What reading found wrong with these columns themselves: unusable, unnamed or doubled ones."""
    return [p for p in table.problems if _is_of_columns(p) and any(repr(name) in p.what for name in names)]


def _is_of_columns(problem: Problem) -> bool:
    return problem.what.startswith(("Column ", "Columns ", "Duplicate "))


def _absent(table: Table, needed: Sequence[str]) -> list[Problem]:
    absent = [n for n in needed if n not in table.names]
    if not absent:
        return []
    close = {n: nearest(n, [t for t in table.names if t not in needed]) for n in absent}
    hints = "; ".join(f"{quoted(n)} may be {quoted(c[0])}" for n, c in close.items() if c)
    noun = count(len(absent), "column")
    what = f"{noun} of {len(needed)} that the model needs {'is' if len(absent) == 1 else 'are'} not there: "
    return [
        Problem(
            what=f"{what}{listed(absent, shown=20)}.",
            mend=f"{hints + '. ' if hints else ''}The file has: {listed(table.names, shown=20)}.",
        )
    ]


def _numbers(name: str, table: Table, problems: list[Problem]) -> NDArray[np.float64]:
    parsed = parse(table.column(name))
    if isinstance(parsed, Numbers):
        infinite = np.isinf(parsed.values)
        if infinite.any():
            what = f"Column {quoted(name)} holds infinite values in {counted_rows(table.row_numbers[infinite])}."
            problems.append(
                Problem(what=what, mend="Leave them empty (missing), or put a finite value in their place.")
            )
        return parsed.values
    if isinstance(parsed, Texts):
        bad = ~(parsed.numeric | (np.arange(len(parsed.values)) == 0))
        at = table.row_numbers[bad[parsed.codes]]
        words = [v for v, is_bad in zip(parsed.values, bad, strict=True) if is_bad]
        what = f"Column {quoted(name)} was numbers in training and holds {listed(words)} in {counted_rows(at)}."
    else:
        what = f"Column {quoted(name)} was numbers in training and holds dates."
    problems.append(Problem(what=what, mend="Write numbers, or leave the fields empty (missing)."))
    return np.full(table.rows, np.nan)


def _texts(array: pa.Array) -> NDArray[np.generic]:
    """Text as it stands; numbers and truth values as they are written."""
    texts = array if array.type == TEXT else array.cast(TEXT)
    found: NDArray[np.generic] = np.array(pc.fill_null(texts, "").to_pylist(), dtype=object)
    return found
