"""Where the records of a delimited text begin and end, and how many fields each has.

Parsers fill short rows with nothing, shift long ones, and read on to the end of the file behind an open quote. Here the
records are counted before anything is parsed: with numpy over the bytes where every quote opens or closes a field,
which is nearly always, and else record by record in Python's csv module.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import Problem
from autoopt.values import format_bytes

DELIMITERS = ",;\t|"
MOST_FIELD_BYTES = 1 << 20
_QUOTE, _NEWLINE = ord('"'), ord("\n")
_SNIFFED_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Records that are not blank. The first is the header."""

    starts: NDArray[np.int64]  # byte offsets
    ends: NDArray[np.int64]
    fields: NDArray[np.int64]
    numbers: NDArray[np.int64]  # 1-based, blank lines counted


def universal_newlines(raw: bytes) -> bytes:
    """Every line end as one \\n."""
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in raw else raw


def sniff(raw: bytes, preferred: str = ",") -> str | None:
    """The delimiter that splits the header, and the first records into as many fields; None when none splits it."""
    head = raw.lstrip(b"\n")[:_SNIFFED_BYTES]
    lines = _outside_quotes(head).split(b"\n")
    lines = [line for line in (lines if len(head) == len(raw) else lines[:-1] or lines) if line]

    def fitness(delimiter: str) -> tuple[float, bool, int]:
        counts = [line.count(delimiter.encode()) for line in lines]
        same = sum(c == counts[0] for c in counts) / len(counts)
        return same, delimiter == preferred, counts[0]

    splitting = [d for d in DELIMITERS if d.encode() in lines[0]] if lines else []
    return max(splitting, key=fitness) if splitting else None


def _outside_quotes(raw: bytes) -> bytes:
    """The text with all that lies between quotes taken out."""
    return b"".join(raw.split(b'"')[::2])


def scan(raw: bytes, delimiter: str) -> Layout | None:
    """The layout of well-quoted text; None where quotes stand in other places than the ends of fields."""
    data = np.frombuffer(raw, dtype=np.uint8)
    is_end = data == _NEWLINE
    is_delimiter = data == ord(delimiter)
    if b'"' in raw:
        if not _well_quoted(data, is_end | is_delimiter):
            return None
        inside = np.bitwise_xor.accumulate(data == _QUOTE)
        is_end &= ~inside
        is_delimiter &= ~inside
    ends = np.flatnonzero(is_end)
    if len(data) and not is_end[-1]:
        ends = np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1] + 1])
    delimiters = np.flatnonzero(is_delimiter)
    fields = np.diff(np.searchsorted(delimiters, np.concatenate([starts, [len(data) + 1]]))) + 1
    full = ends > starts
    numbers = np.arange(1, len(ends) + 1)
    numbers = numbers - (numbers[full][0] - 1 if full.any() else 0)  # blank lines above the header count for nothing
    return Layout(starts=starts[full], ends=ends[full], fields=fields[full], numbers=numbers[full])


def _well_quoted(data: NDArray[np.uint8], separates: NDArray[np.bool_]) -> bool:
    """Every quote opens a field, closes one, or is doubled inside one; none stays open."""
    quotes = np.flatnonzero(data == _QUOTE)
    if len(quotes) % 2:
        return False
    fits = separates | (data == _QUOTE)
    opens, closes = quotes[::2], quotes[1::2]
    before, after = opens[opens > 0] - 1, closes[closes < len(data) - 1] + 1
    return bool(fits[before].all() and fits[after].all())


def longest_field(raw: bytes, layout: Layout, delimiter: str) -> tuple[int, int]:
    """(bytes, record's number) of the longest field, from above: a record that is short has no long field."""
    lengths = layout.ends - layout.starts
    longest, number = 0, 0
    for at in np.flatnonzero(lengths > MOST_FIELD_BYTES):
        record = _outside_quotes(raw[layout.starts[at] : layout.ends[at]])
        widest = max(len(f) for f in record.split(delimiter.encode())) if b'"' not in record else int(lengths[at])
        if b'"' in raw[layout.starts[at] : layout.ends[at]]:
            widest = int(lengths[at])
        if widest > longest:
            longest, number = widest, int(layout.numbers[at])
    return longest, number


def too_long(number: int, size: int) -> Problem:
    """The problem of a huge field."""
    return Problem(
        what=f"Row {number:,} has a field of {format_bytes(size)}; at most {format_bytes(MOST_FIELD_BYTES)} are read.",
        mend="Is a quote not closed? Close it, or shorten the field.",
    )


def records(raw: bytes, delimiter: str, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """(number, fields) of each record of text with quotes in odd places, as far as it can be read.

    A quote inside an unquoted field is a character like any other; text after a closing quote and a quote that is
    never closed end the reading and become a problem.
    """
    reader = csv.reader(io.StringIO(raw.decode(), newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    number = 0
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            problems.append(_bad_quote(number + 1, str(error)))
            return
        if record is None:
            return
        if record or number:
            number += 1
        if record:
            yield number, record


def _bad_quote(number: int, error: str) -> Problem:
    if "expected after" in error:
        what = f"Row {number:,} has text after a closing quote, or a quote that is not closed in it."
        return Problem(what=what, mend='Close the quote, or double quotes inside a quoted field ("").')
    what = f"A quote that opens in row {number:,} never closes."
    return Problem(what=what, mend='Close it, or double it inside a quoted field ("").')
