"""A source becomes a task: read, checked as a whole, understood, split. Nothing is written before `save`."""

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from autoopt.errors import DataError, OptionError, Problem
from autoopt.task.assemble import PreparedTask, assemble
from autoopt.task.columns import Column, free_text, understand
from autoopt.task.facts import ColumnFacts, Kind, Modality, Role
from autoopt.task.images.prepare import prepare_images, refuse_image_options
from autoopt.task.leaks import find_leaks
from autoopt.task.metrics import Metric, fitting_metric, metric
from autoopt.task.modality import modality_of
from autoopt.task.module.prepare import prepare_module
from autoopt.task.options import TaskOptions
from autoopt.task.sources.dispatch import read_table
from autoopt.task.splits import Parts, by_column, by_hash, by_time, check_parts, row_hashes
from autoopt.task.table import Table, known_columns
from autoopt.task.targets import Target, understand_target
from autoopt.task.texts.given import GivenVectors, given_vectors, refuse_embeddings
from autoopt.task.texts.vector_file import vector_file_problems
from autoopt.task.wording import count, listed, missing_column, quoted

LEAST_ROWS = 20
_NOISY_ROWS = 200
BESIDE_TEXTS = "not learned from beside texts"


@dataclass(kw_only=True)
class _Findings:
    """What the checks have found so far."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def prepare_task(source: str | Path | pd.DataFrame, options: TaskOptions, name: str | None = None) -> PreparedTask:
    """Read `source` (a file, a `demo:` name, a frame) and make a task of it.

    Raises DataError with every problem found, OptionError for a metric that does not exist or does not fit.
    """
    if options.metric is not None:
        metric(options.metric)
    refuse_embeddings(options)
    modality = modality_of(source, options)
    if modality is Modality.IMAGES:
        return prepare_images(source, options, name)
    refuse_image_options(options)
    if modality is Modality.MODULE:
        return prepare_module(source, options, name)
    _check_text_source(source, options)
    table = read_table(source, name)
    options = replace(options, target=options.target or table.default_target)
    found = _Findings(problems=list(table.problems), warnings=list(table.warnings))
    _check_options(table, options, found)
    if table.rows == 0 or not table.whole:
        raise DataError(found.problems)
    columns = _features(table, options, found)
    _tell_blank(columns, table.rows, found)
    target = _target(table, options, found)
    chosen = _metric(options, target, found)
    parts = None
    if target is not None and chosen is not None and any(c.facts.used for c in columns):
        found.problems += find_leaks(str(options.target), target, columns, found.warnings)
        parts = _split(table, options, target, columns, found)
        if parts is not None:
            found.problems += check_parts(parts, target, chosen, found.warnings)
    if found.problems or target is None or chosen is None or parts is None:
        raise DataError(found.problems)
    vectors = _vectors(options, columns, parts)
    return assemble(name or table.name, table, options, target, chosen, columns, parts, found.warnings, vectors)


def _check_text_source(source: Any, options: TaskOptions) -> None:
    """Raises DataError where columns of text were named and the source has no columns."""
    if not options.text:
        return
    kind = modality_of(source, replace(options, text=()))
    if options.image is not None or kind is not Modality.TABULAR:
        what = "--image was given too" if options.image is not None else f"{quoted(source)} is no table ({kind})"
        mend = "Give a table (.csv, .parquet, ...) with these columns, or leave --text out."
        raise DataError(f"--text names columns of a table that are learned from alone, and {what}.", mend)


def _check_options(table: Table, options: TaskOptions, found: _Findings) -> None:
    given = {"--target": options.target, "--split-column": options.split_column, "--time-column": options.time_column}
    for option, column in given.items():
        if column is not None and column not in table.names:
            what, mend = missing_column(option, column, table.names)
            found.problems.append(Problem(what=what, mend=mend))
    if options.target is None:
        last = quoted(table.names[-1]) if table.names else ""
        mend = f"Say which column is to be learned, perhaps the last: --target {last}. {known_columns(table.names)}"
        found.problems.append(Problem(what="No --target was given.", mend=mend))
    for column in options.text:
        if column not in table.names:
            what, mend = missing_column("--text", column, table.names)
            found.problems.append(Problem(what=what, mend=mend))
    given |= {f"--text #{k}": column for k, column in enumerate(options.text, start=1)}
    named = [c for c in given.values() if c is not None]
    if len(set(named)) < len(named):
        uses = [f"{o.partition(' #')[0]} {c}" for o, c in given.items() if c]
        what = f"One column was named for two uses: {listed(uses)}."
        found.problems.append(Problem(what=what, mend="Target, split, time and texts are different columns."))
    if options.embeddings:
        found.problems += vector_file_problems(options.embeddings)
    if options.split_column and options.time_column:
        what = "--split-column and --time-column were both given."
        found.problems.append(Problem(what=what, mend="Choose the one that says how the rows are to be split."))
    if table.problems:
        return  # rows that could not be read were not counted
    if table.rows < LEAST_ROWS:
        what = f"{table.name} has {count(table.rows, 'row')}; at least {LEAST_ROWS} are needed to split and learn."
        found.problems.append(Problem(what=what, mend="Give more rows."))
    elif table.rows < _NOISY_ROWS:
        found.warnings.append(f"{count(table.rows, 'row')} are few: every score will be noisy.")


def _features(table: Table, options: TaskOptions, found: _Findings) -> list[Column]:
    kept_apart = {options.target: Role.TARGET, options.split_column: Role.SPLIT, options.time_column: Role.TIME}
    columns = []
    for name, array in zip(table.names, table.columns, strict=True):
        if name in kept_apart:
            columns.append(Column(facts=ColumnFacts(name=name, role=kept_apart[name], used=False)))
        elif name in options.text:
            columns.append(free_text(name, array, found.problems))
        elif options.text:
            columns.append(_beside_texts(understand(name, array, table.row_numbers, [])))
        else:
            columns.append(understand(name, array, table.row_numbers, found.problems))
    beside = [c.facts.name for c in columns if c.facts.note == BESIDE_TEXTS]
    if beside:
        found.warnings.append(f"Beside texts, other columns are not learned from: {listed(beside)}.")
    if not options.text and not any(c.facts.used for c in columns):
        left_out = [f"{quoted(c.facts.name)} ({c.facts.note or f'the {c.facts.role}'})" for c in columns[:10]]
        what = f"No column is left to learn from: {', '.join(left_out)}{', ...' if len(columns) > 10 else ''}."
        mend = "Give columns of numbers, truth values or categories."
        free = [c.facts.name for c in columns if c.facts.role is Role.TEXT]
        if free:
            mend = f"To learn from free text, name its columns: --text {shlex.quote(','.join(free))}."
        if len(columns) == 1:
            what = f"The data have a single column, {quoted(table.names[0])}."
            mend = "A table needs a target and a column to learn from; a text file splits at , ; tab or |."
        found.problems.append(Problem(what=what, mend=mend))
    return columns


def _tell_blank(columns: list[Column], rows: int, found: _Findings) -> None:
    """A warning about rows in which every column of texts is blank."""
    texts = [c.texts for c in columns if c.texts is not None]
    blank = sum(not any(text.strip() for text in row) for row in zip(*texts, strict=True))
    if 0 < blank < rows:
        found.warnings.append(f"{blank:,} of {count(rows, 'row')} hold no text: there a model can only guess.")


def _beside_texts(column: Column) -> Column:
    return column.left_out(column.facts.role, BESIDE_TEXTS) if column.facts.used else column


def _target(table: Table, options: TaskOptions, found: _Findings) -> Target | None:
    if options.target not in table.names:
        return None
    array = table.column(options.target)
    target, problems = understand_target(
        options.target, array, table.row_numbers, options.metric, labelled=table.labelled
    )
    found.problems += problems
    if target is not None:
        found.warnings += target.warnings
    return target


def _vectors(options: TaskOptions, columns: list[Column], parts: Parts) -> GivenVectors | None:
    """Of the words of the training texts, from the file that was given."""
    if not options.embeddings:
        return None
    texts = [column.texts[parts == 0] for column in columns if column.texts is not None]
    return given_vectors(options.embeddings, (text for column in texts for text in column))


def _metric(options: TaskOptions, target: Target | None, found: _Findings) -> Metric | None:
    """The metric. A misfit alone is an OptionError; beside other problems it is told with them."""
    if target is None:
        return None
    try:
        chosen = fitting_metric(options.metric, target.kind, target.classes)
    except OptionError as error:
        if not found.problems:
            raise
        found.problems += error.problems
        return None
    if chosen.about_positive and target.kind is Kind.BINARY:
        found.warnings.append(f"{chosen.name} is about the class {quoted(target.classes[1])}: the second in order.")
    return chosen


def _split(table: Table, options: TaskOptions, target: Target, columns: list[Column], found: _Findings) -> Parts | None:
    for name, split in ((options.split_column, by_column), (options.time_column, by_time)):
        if name is not None:
            if name not in table.names:
                return None
            parts, problems = split(name, table.column(name), table.row_numbers)
            found.problems += problems
            return parts
    hashes = row_hashes([c for c in columns if c.facts.used], table.rows, options.seed)
    return by_hash(hashes, target)
