"""Delimited text: CSV, TSV and their kin, read strictly.

The delimiter is found among comma, semicolon, tab and bar. Space around names and values is dropped, quoted or not.
Everything comes out as text; which columns are numbers is decided later, with all values in view.
"""

import csv
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from autoopt.errors import DataError, Problem
from autoopt.task.sources.bytes import text_bytes
from autoopt.task.sources.layout import (
    MOST_FIELD_BYTES,
    Layout,
    longest_field,
    records,
    scan,
    sniff,
    too_long,
    universal_newlines,
)
from autoopt.task.table import TEXT, Table, no_rows, unique_names
from autoopt.task.wording import SHOWN, count, quoted

_LEAST_BLOCK_BYTES = 16 << 20
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_text(path: Path) -> Table:
    """A text table. Raises DataError where nothing can be read; all else that is wrong is in `problems`."""
    raw, problems = text_bytes(path)
    raw = universal_newlines(raw)
    usual = "\t" if ".tsv" in path.suffixes else ","
    delimiter = sniff(raw, usual) or usual  # none splits it: a single column, enough for a model of one
    layout = scan(raw, delimiter)
    table = None if layout is None else _fast(path, raw, delimiter, layout, problems)
    return table or _slow(path, raw, delimiter, problems)


def _fast(path: Path, raw: bytes, delimiter: str, layout: Layout, problems: list[Problem]) -> Table | None:
    """Parsed by Arrow. None when it counts other rows than the layout has (then records are read one by one)."""
    size, number = longest_field(raw, layout, delimiter)
    if size > MOST_FIELD_BYTES:
        raise DataError([*problems, too_long(number, size)])
    header_end = int(layout.ends[0])
    header = next(csv.reader([raw[layout.starts[0] : header_end].decode()], delimiter=delimiter, skipinitialspace=True))
    names, found = _header(header)
    width = len(names)
    good = layout.fields[1:] == width
    found += _ragged(path, width, layout.numbers[1:][~good], layout.fields[1:][~good], len(good))
    numbers = layout.numbers[1:][good]
    longest = int((layout.ends - layout.starts).max())
    columns = [pa.array([], TEXT)] * width
    if len(numbers):
        arrow = _arrow(raw, header_end + 1, names, delimiter, longest)
        if arrow.num_rows != len(numbers):
            return None
        trims = b" " in raw or b"\t" in raw or b"\xc2\xa0" in raw
        columns = [pc.utf8_trim_whitespace(c.combine_chunks()) if trims else c.combine_chunks() for c in arrow.columns]
    return _table(path, names, columns, numbers, [*problems, *found], whole=not _headless(header))


def _arrow(raw: bytes, start: int, names: tuple[str, ...], delimiter: str, longest: int) -> pa.Table:
    return pcsv.read_csv(
        pa.BufferReader(pa.py_buffer(raw).slice(start)),
        read_options=pcsv.ReadOptions(column_names=list(names), block_size=max(_LEAST_BLOCK_BYTES, 2 * longest)),
        parse_options=pcsv.ParseOptions(
            delimiter=delimiter,
            newlines_in_values=b'"' in raw,
            invalid_row_handler=lambda _: "skip",  # told already, with its number
        ),
        convert_options=pcsv.ConvertOptions(
            check_utf8=False,  # the whole file was
            column_types=dict.fromkeys(names, TEXT),
            strings_can_be_null=False,
            null_values=[],
        ),
    )


def _slow(path: Path, raw: bytes, delimiter: str, problems: list[Problem]) -> Table:
    """Parsed record by record."""
    before = len(problems)
    every = list(records(raw, delimiter, problems))
    whole = len(problems) == before
    if not every:
        raise DataError(problems or f"{path} has no header.")
    names, found = _header(every[0][1])
    bad = [(number, len(fields)) for number, fields in every[1:] if len(fields) != len(names)]
    good = [(number, fields) for number, fields in every[1:] if len(fields) == len(names)]
    found += _ragged(path, len(names), np.array([b[0] for b in bad]), np.array([b[1] for b in bad]), len(every) - 1)
    columns = [pa.array([fields[k].strip() for _, fields in good], TEXT) for k in range(len(names))]
    return _table(
        path, names, columns, np.array([n for n, _ in good], dtype=np.int64), [*problems, *found], whole=whole
    )


def _table(
    path: Path,
    names: tuple[str, ...],
    columns: list[pa.Array],
    numbers: np.ndarray,
    problems: list[Problem],
    *,
    whole: bool,
) -> Table:
    return Table(
        name=path.name,
        names=names,
        columns=tuple(columns),
        row_numbers=np.asarray(numbers, dtype=np.int64),
        problems=tuple(problems),
        whole=whole,
    )


def _header(fields: list[str]) -> tuple[tuple[str, ...], list[Problem]]:
    stripped = [f.strip() for f in fields]
    names, problems = unique_names(stripped)
    if _headless(stripped):
        shown = quoted(", ".join(stripped))
        return names, [Problem(what=f"Row 1 holds only numbers ({shown}): the header is missing.", mend="Add one.")]
    return names, problems


def _headless(fields: list[str]) -> bool:
    """Whether the first row holds numbers, and not 0, 1, 2, ... or 1, 2, 3, ... as a saved frame's header may."""
    counted = [str(k) for k in range(len(fields))], [str(k + 1) for k in range(len(fields))]
    return fields not in counted and all(_NUMBER.fullmatch(f.strip()) for f in fields)


def _ragged(path: Path, width: int, numbers: np.ndarray, fields: np.ndarray, total: int) -> list[Problem]:
    if not total:
        return [no_rows(path.name)]
    if not len(numbers):
        return []
    if len(numbers) == total and (fields == width + 1).all():
        return [
            Problem(
                what=f"Every row has {width + 1} fields, the header has {width}.",
                mend="Name the first column too (a saved index?), or drop the delimiter at the end of the rows.",
            )
        ]
    shown = ", ".join(f"row {n} has {f}" for n, f in zip(numbers[:SHOWN], fields[:SHOWN], strict=True))
    more = ", ..." if len(numbers) > SHOWN else ""
    return [
        Problem(
            what=f"{count(len(numbers), 'row')} of {total:,} do not have the header's {width} fields: {shown}{more}.",
            mend="Complete them, put fields that contain the delimiter into quotes, or drop them.",
        )
    ]
