"""The bytes of a text file: whole, unpacked, UTF-8 — or a message that says what they are in place of that."""

import zlib
from pathlib import Path

from autoopt.errors import DataError, Problem
from autoopt.task.wording import count
from autoopt.values import format_bytes

MOST_BYTES = 8 << 30
"""The largest text that is read into memory."""
_RATIO, _RATIO_FROM = 200, 32 << 20  # tables pack 3 to 30 times; a bomb packs 1000 times
_CHUNK = 1 << 20

_MAGIC = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "Save the table as CSV or Parquet."),
    (b"PAR1", "a Parquet file", "Give it the ending .parquet."),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "Give it the ending .h5."),
    (b"SQLite format 3\0", "an SQLite database", "Export the table as CSV or Parquet."),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "Save the table as CSV."),
    (b"%PDF", "a PDF", "Give the table as CSV or Parquet."),
    (b"BZh", "bzip2-packed", "Unpack it first, or pack it with gzip."),
    (b"\xfd7zXZ", "xz-packed", "Unpack it first, or pack it with gzip."),
    (b"\x28\xb5\x2f\xfd", "zstd-packed", "Unpack it first, or pack it with gzip."),
    (b"ARROW1", "an Arrow file", "Save the table as Parquet."),
)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def text_bytes(path: Path) -> tuple[bytes, list[Problem]]:
    """UTF-8 bytes of a text file, gzip unpacked, byte-order mark removed.

    Raises DataError where nothing can be read at all. Bytes that are not UTF-8 become a problem, and are then read as
    Latin-1, so that the rest of the file can be checked too.
    """
    raw = _read(path)
    if raw[:2] == b"\x1f\x8b":
        raw = unpacked(path, raw)
    elif path.suffix.lower() == ".gz":
        raise DataError(f"{path} ends in .gz but is not gzip-packed.", "Remove the ending, or pack it with gzip.")
    if not raw.strip():
        raise DataError(f"{path} is empty.", "Give a file with a header row and rows of data.")
    _refuse_other_formats(path, raw)
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return raw.decode("latin-1").encode(), [_not_utf8(path.name, raw, error)]
    return raw, []


def _read(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise DataError(
            f"{path} has {format_bytes(size)}.", f"At most {format_bytes(MOST_BYTES)} are read; use a sample."
        )
    return path.read_bytes()


def unpacked(path: Path, raw: bytes) -> bytes:
    """Gzip members, one after the other, with a cap on how far they may grow. Raises DataError."""
    parts: list[bytes] = []
    total, rest = 0, raw
    while rest.strip(b"\0"):
        stream = zlib.decompressobj(wbits=31)
        data = rest
        while not stream.eof:
            try:
                part = stream.decompress(data, _CHUNK)
            except zlib.error as error:
                raise DataError(
                    f"{path} is damaged: {error}.", "Fetch or pack it again (`gzip -t` checks it)."
                ) from None
            data = stream.unconsumed_tail
            total += len(part)
            if not part and not data and not stream.eof:
                raise DataError(f"{path} is truncated: the gzip stream does not end.", "Fetch or pack it again.")
            if total > MOST_BYTES or total > max(_RATIO_FROM, _RATIO * len(raw)):
                grown = f"{path} ({format_bytes(len(raw))}) unpacks to more than {format_bytes(total)}."
                raise DataError(grown, f"A table does not pack {_RATIO} times; if it is one, unpack it first (gunzip).")
            parts.append(part)
        rest = stream.unused_data
    return b"".join(parts)


def _refuse_other_formats(path: Path, raw: bytes) -> None:
    for magic, what, mend in _MAGIC:
        if raw.startswith(magic):
            raise DataError(f"{path} is {what}, not a text table.", mend)
    every_second = raw[1:60:2]
    if raw[:2] in _UTF16 or every_second.count(0) > len(every_second) // 2:
        mend = f"Write it as UTF-8: iconv -f UTF-16 -t UTF-8 {path.name} > utf8_{path.name}"
        raise DataError(f"{path} is UTF-16 text, not UTF-8.", mend)
    at = raw.find(b"\0")
    if at >= 0:
        line = raw.count(b"\n", 0, at) + 1
        zeros = count(raw.count(b"\0"), "NUL byte")
        raise DataError(
            f"{path} holds {zeros} (first at byte {at:,}, line {line:,}): it is binary, or was cut off while written.",
            "Write it again; `tr -d '\\000'` removes them if the rest is whole.",
        )


def _not_utf8(name: str, raw: bytes, error: UnicodeDecodeError) -> Problem:
    line = raw.count(b"\n", 0, error.start) + 1
    bad = raw[error.start]
    return Problem(
        what=f"{name} is not UTF-8: byte 0x{bad:02x} at offset {error.start:,}, line {line:,}.",
        mend=f"Convert it, for example: iconv -f WINDOWS-1252 -t UTF-8 {name} > utf8_{name}",
    )
