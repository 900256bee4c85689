"""Which reader a source needs."""

import os
import stat
from pathlib import Path
from typing import Any

import pandas as pd

from autoopt.errors import DataError
from autoopt.files import user_path
from autoopt.task.sources.demos import DEMOS, PREFIX, read_demo
from autoopt.task.sources.frames import read_frame
from autoopt.task.sources.hdf5 import read_hdf5
from autoopt.task.sources.parquet import read_parquet
from autoopt.task.sources.text import read_text
from autoopt.task.table import Table
from autoopt.task.wording import nearest, quoted

_READERS = {
    ".csv": read_text,
    ".tsv": read_text,
    ".txt": read_text,
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
}
FORMATS = (
    "Formats: .csv, .tsv, .txt (also .gz), .parquet, .pq, .h5, .hdf5, demo:NAME for a built-in set; "
    "images: a folder, .tar, .tar.gz, .tgz or .zip with a folder for each class."
)


def read_table(source: Any, name: str | None = None) -> Table:
    """Read a path, a DataFrame or a `demo:` name. Raises DataError."""
    if isinstance(source, pd.DataFrame):
        return read_frame(source, name or "frame")
    if not isinstance(source, str | os.PathLike):
        what = f"The data are a {type(source).__name__}, not a file's path or a pandas DataFrame."
        raise DataError(what, "Make a frame of them: pandas.DataFrame(...), the target as one of its columns.")
    text = os.fspath(source)
    if text.startswith(PREFIX):
        return read_demo(text)
    if "://" in text:
        raise DataError(f"{text!r} is an address; only local files are read.", "Download it and give the file's path.")
    path = user_path(text)
    _check_file(path)
    suffix = path.suffix.lower()
    reader = _READERS.get(Path(path.stem).suffix.lower() if suffix == ".gz" else suffix)
    if reader is None or (suffix == ".gz" and reader is not read_text):
        raise DataError(f"{path} has an ending that is not known.", FORMATS)
    try:
        return reader(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}.", "Check the disk and its rights."
        ) from None


def _check_file(path: Path) -> None:
    """Raises DataError unless the path is a file that can be read."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{path} is a folder.", f"Give one file. {FORMATS}")
        if not stat.S_ISREG(mode):
            raise DataError(f"{path} is a device, a pipe or a socket, not a file.", "Write the data to a file first.")
        if mode and not os.access(path, os.R_OK):
            raise DataError(f"{path} may not be read by this user.", f"Allow it: chmod u+r {path}")
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes).", "Give a file with a header row and rows of data.")
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path} does not exist.", _similar(path)) from None
    except (OSError, ValueError) as error:  # a name that is too long, loops, holds NUL
        if isinstance(error, DataError):
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{quoted(path)} cannot be opened: {reason}.", "Check the path.") from None


def _similar(path: Path) -> str:
    if path.name in DEMOS:
        return f"Did you mean {PREFIX}{path.name}?"
    try:
        beside = [p.name for p in path.parent.iterdir()][:1000]
    except OSError:
        return f"Nor does its folder {path.parent}."
    close = nearest(path.name, beside)
    return f"Did you mean {path.parent / close[0]}?" if close else "Check the path."
