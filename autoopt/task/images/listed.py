"""Images that a table names: a column of paths, and another of what is to be learned."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from autoopt.errors import DataError, Problem
from autoopt.files import user_path
from autoopt.files.pictures import PictureError
from autoopt.task.images.found import ImageFile
from autoopt.task.images.labelled import Labelled, few_images
from autoopt.task.options import TaskOptions
from autoopt.task.sources.dispatch import read_table
from autoopt.task.splits import Parts, by_column, by_time
from autoopt.task.table import TEXT, Table, known_columns
from autoopt.task.targets import understand_target
from autoopt.task.wording import counted_rows, listed, missing_column, quoted

_SEEN_ROWS = 1000


def labelled_by_table(source: Any, options: TaskOptions, name: str | None) -> Labelled:
    """Paths are relative to the table's folder; to the current one for a frame. Raises DataError with all problems."""
    table = read_table(source, name)
    problems = [*table.problems, *_wrong_columns(table, options)]
    if problems:
        raise DataError(problems)
    folder = user_path(source).parent if isinstance(source, str | os.PathLike) else Path()
    files = _files(table.column(str(options.image)), folder)
    target, problems = understand_target(
        str(options.target), table.column(str(options.target)), table.row_numbers, options.metric, labelled=False
    )
    parts, split, more = _given_parts(table, options)
    few, warnings = few_images(table.name, len(files))
    problems += [*more, *few, *_absent(files, table, options, folder)]
    if problems or target is None:
        raise DataError(problems)
    return Labelled(
        name=name or table.name,
        files=files,
        target_name=str(options.target),
        target=replace(target, warnings=()),
        row_numbers=table.row_numbers,
        parts=parts,
        split=split,
        warnings=(*table.warnings, *_unused(table, options), *warnings, *target.warnings),
    )


def _wrong_columns(table: Table, options: TaskOptions) -> list[Problem]:
    given = {
        "--image": options.image,
        "--target": options.target,
        "--split-column": options.split_column,
        "--time-column": options.time_column,
    }
    named = {option: column for option, column in given.items() if column is not None}
    problems = []
    for option, column in named.items():
        if column not in table.names:
            what, mend = missing_column(option, column, table.names)
            problems.append(Problem(what=what, mend=mend))
    if options.target is None:
        mend = f"Say which column is to be learned. {known_columns(table.names)}"
        problems.append(Problem(what="No --target was given.", mend=mend))
    if len(set(named.values())) < len(named):
        what = f"One column was named for two uses: {listed([f'{o} {c}' for o, c in named.items()])}."
        problems.append(Problem(what=what, mend="Image, target, split and time are different columns."))
    if options.split_column and options.time_column:
        what = "--split-column and --time-column were both given."
        problems.append(Problem(what=what, mend="Choose the one that says how the rows are to be split."))
    if options.image in table.names and table.column(str(options.image)).type not in (TEXT, pa.null()):
        what = f"--image {quoted(options.image)} holds {table.column(str(options.image)).type}, not paths of files."
        problems.append(Problem(what=what, mend=f"Name the column of paths. {known_columns(table.names)}"))
    return problems


def _files(column: pa.Array, folder: Path) -> tuple[ImageFile, ...]:
    texts = pc.fill_null(column.cast(TEXT), "").to_pylist()
    return tuple(
        ImageFile(
            name=text or "a row without a path",
            folders=(),
            content=folder / user_path(text) if text.strip() else PictureError("names no image"),
        )
        for text in texts
    )


def _absent(files: tuple[ImageFile, ...], table: Table, options: TaskOptions, folder: Path) -> list[Problem]:
    """The problem of paths that lead nowhere at all: another column is meant, or another folder."""
    first = files[:_SEEN_ROWS]
    if not first or any(isinstance(f.content, Path) and os.path.exists(f.content) for f in first):  # noqa: PTH110
        return []  # os.path.exists takes long names and NUL for what they are: no files
    where = f"the table's folder {folder}" if str(folder) != "." else "the current folder"
    what = f"--image {quoted(options.image)}: none of the files is there ({listed([f.name for f in first], shown=3)})."
    return [Problem(what=what, mend=f"Paths are relative to {where}. {known_columns(table.names)}")]


def _given_parts(table: Table, options: TaskOptions) -> tuple[Parts | None, str, list[Problem]]:
    if options.split_column:
        parts, problems = by_column(options.split_column, table.column(options.split_column), table.row_numbers)
        return parts, f"as the column {quoted(options.split_column)} says", problems
    if options.time_column:
        parts, problems = by_time(options.time_column, table.column(options.time_column), table.row_numbers)
        return parts, f"by time ({quoted(options.time_column)}): oldest images train, newest test", problems
    return None, "", []


def _unused(table: Table, options: TaskOptions) -> list[str]:
    """Warnings: columns beside the images, and rows that name one image twice."""
    used = (options.image, options.target, options.split_column, options.time_column)
    others = [name for name in table.names if name not in used]
    warnings = []
    if others:
        are = "column beside the images is" if len(others) == 1 else "columns beside the images are"
        warnings.append(f"{len(others)} {are} not learned from: {listed(others)}.")
    paths = np.array(pc.fill_null(table.column(str(options.image)).cast(TEXT), "").to_pylist(), dtype=object)
    _, first = np.unique(paths, return_index=True)
    again = np.setdiff1d(np.arange(len(paths)), first)
    if len(again):
        warnings.append(f"{counted_rows(table.row_numbers[again])} name an image that another row names too.")
    return warnings
