"""A table as a source gave it: columns of a few Arrow types, with the row numbers that messages name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from autoopt.errors import Problem
from autoopt.task.wording import counted_rows, listed, quoted

TEXT = pa.large_string()


@dataclass(frozen=True, kw_only=True)
class Table:
    """What was read. Columns are large_string, double, int64, bool, timestamp or null arrays of one length.

    Rows that could not be read are left out and named in `problems`: the checks of the others still run, so that all
    that is wrong is told at once.
    """

    name: str
    names: tuple[str, ...]
    columns: tuple[pa.Array, ...]
    row_numbers: NDArray[np.int64]  # 1-based; in a text file the header is row 1
    problems: tuple[Problem, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)  # column → what was done while reading
    warnings: tuple[str, ...] = ()
    default_target: str | None = None
    whole: bool = True  # False where reading ended early, or the header is not one: later checks would only mislead
    labelled: bool = False  # the source says that its target is classes (a demo)

    @property
    def rows(self) -> int:
        return len(self.row_numbers)

    def column(self, name: str) -> pa.Array:
        return self.columns[self.names.index(name)]


def unique_names(names: Sequence[str]) -> tuple[tuple[str, ...], list[Problem]]:
    """Names that can be told apart, and the problems of those that could not: duplicates, empty ones."""
    problems: list[Problem] = []
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names, start=1):
        places.setdefault(name, []).append(place)
    if "" in places:
        where = ", ".join(str(p) for p in places[""][:5])
        problems.append(
            Problem(
                what=f"Column {where} has no name." if len(places[""]) == 1 else f"Columns {where} have no name.",
                mend="Name it in the header, or drop it (a saved index: write the file with index=False).",
            )
        )
    twice = {name: at for name, at in places.items() if len(at) > 1 and name}
    if twice:
        where = "; ".join(f"{quoted(n)} is column {', '.join(map(str, at))}" for n, at in list(twice.items())[:5])
        problems.append(Problem(what=f"Duplicate column names: {where}.", mend="Rename or drop all but one of each."))
    taken: set[str] = set()
    result = []
    for place, name in enumerate(names, start=1):
        free = name if name and name not in taken else f"{name}#{place}"
        taken.add(free)
        result.append(free)
    return tuple(result), problems


def normalized(name: str, array: pa.Array, numbers: NDArray[np.int64], problems: list[Problem]) -> pa.Array | None:
    """An Arrow column as one of the types of Table; None, and a problem, where there is no way."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return normalized(name, array.dictionary_decode(), numbers, problems)
    for holds, target in _CONVERSIONS:
        if holds(kind):
            return array if target is None else pc.cast(array, target, safe=False)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _decoded(name, array, numbers, problems)
    problems.append(
        Problem(
            what=f"Column {quoted(name)} holds {kind}, which cannot be learned from.",
            mend="Drop the column, or spread it over columns of numbers or texts.",
        )
    )
    return None


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_real(kind: pa.DataType) -> bool:
    # Decimals and unsigned 64-bit integers do not fit int64
    return bool(pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_uint64(kind))


_BLANKS: Final = "".join(filter(str.isspace, map(chr, range(0x3001))))
"""All that `str.strip` takes away: a text file's fields have none of it around them, so a frame's have none either."""

_CONVERSIONS: tuple[tuple[Callable[[pa.DataType], bool], pa.DataType | None], ...] = (
    (pa.types.is_null, None),
    (pa.types.is_boolean, None),
    (_is_text, TEXT),
    (_is_real, pa.float64()),
    (pa.types.is_integer, pa.int64()),
    (_is_moment, pa.timestamp("us")),
    (pa.types.is_time, TEXT),
)


def _decoded(name: str, array: pa.Array, numbers: NDArray[np.int64], problems: list[Problem]) -> pa.Array | None:
    """Bytes as UTF-8 text."""
    values: list[str | None] = []
    bad: list[int] = []
    for row, value in zip(numbers, array.to_pylist(), strict=True):
        try:
            values.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            values.append(None)
            bad.append(int(row))
    if bad:
        what = f"Column {quoted(name)} holds bytes that are not UTF-8 text in {counted_rows(bad)}."
        problems.append(Problem(what=what, mend="Write it as UTF-8 text, or drop it."))
        return None
    return pa.array(values, TEXT)


def from_arrow(name: str, arrow: pa.Table, **more: object) -> Table:
    """A Table of a typed source: rows are numbered from 1; columns that cannot be used become problems."""
    problems: list[Problem] = list(more.pop("problems", ()))  # type: ignore[call-overload]
    names, found = unique_names([str(n).strip() for n in arrow.column_names])
    problems.extend(found)
    if not arrow.num_rows:
        problems.append(no_rows(name))
    numbers = np.arange(1, arrow.num_rows + 1, dtype=np.int64)
    columns: dict[str, pa.Array] = {}
    for column, chunked in zip(names, arrow.columns, strict=True):
        array = chunked.combine_chunks() if isinstance(chunked, pa.ChunkedArray) else chunked
        fitting = normalized(column, array, numbers, problems)
        if fitting is not None:
            columns[column] = pc.utf8_trim(fitting, _BLANKS) if fitting.type == TEXT else fitting
    return Table(
        name=name,
        names=tuple(columns),
        columns=tuple(columns.values()),
        row_numbers=numbers,
        problems=tuple(problems),
        **more,  # type: ignore[arg-type]
    )


def encodable(text: str) -> str:
    """The text with halves of surrogate pairs, which no file can hold, as question marks."""
    return text.encode("utf-8", "replace").decode()


def no_rows(what: str) -> Problem:
    """The problem of a source with columns and nothing below them."""
    return Problem(what=f"{what} has no rows.", mend="Check that it was written to the end.")


def known_columns(names: Sequence[str]) -> str:
    """The columns there are, for a mend."""
    return f"Columns: {listed(names, shown=20)}."
