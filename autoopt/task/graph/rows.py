"""The rows that a brought graph is compressed on: an .npz file, a table, or images."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError, Problem
from autoopt.task.columns import Column
from autoopt.task.facts import TensorFacts
from autoopt.task.graph.images import image_rows, is_images
from autoopt.task.graph.reading import BroughtGraph, GraphInput
from autoopt.task.options import TaskOptions
from autoopt.task.parsing import Numbers, parse
from autoopt.task.sources.arrays import read_arrays
from autoopt.task.sources.dispatch import read_table
from autoopt.task.table import Table
from autoopt.task.targets import label_texts
from autoopt.task.wording import count, listed, missing_column, quoted

LABEL: Final = "label"
"""What the array of labels is called in an .npz file, unless --target says otherwise."""
ARRAYS: Final = ".npz"


@dataclass(frozen=True, kw_only=True)
class GivenRows:
    """Rows in the order of the source."""

    inputs: tuple[TensorFacts, ...]  # of the graph, in its order
    values: tuple[NDArray[Any], ...]  # (rows, ...) of each
    label_name: str  # '' where there are no labels
    labels: NDArray[Any]  # (rows,) or, where there are none, (0,)
    warnings: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()  # that a bundle's graph takes
    raw_form: str = ""  # of a bundle's rows: the modality they are given like
    meant: str = ""  # what a bundle's graph predicts, whatever the labels are called
    metric: str = ""  # that a bundle was judged by

    @property
    def rows(self) -> int:
        return len((*self.values, *(values for _, values in self.column_values()))[0])

    def take(self, chosen: NDArray[np.int64]) -> "GivenRows":
        """Some of the rows."""
        labels = self.labels[chosen] if self.label_name else self.labels
        values, columns = tuple(v[chosen] for v in self.values), tuple(c.take(chosen) for c in self.columns)
        return replace(self, values=values, columns=columns, labels=labels)

    def column_values(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Name and values (rows,) of each column: float64 with NaN, or str with ''."""
        for column in self.columns:
            if column.numbers is not None:
                yield column.facts.name, column.numbers
            elif column.texts is not None:
                yield column.facts.name, column.texts
            else:
                yield column.facts.name, np.array(column.values, dtype=object)[column.codes]


def read_rows(graph: BroughtGraph, options: TaskOptions) -> GivenRows:
    """Read what --data names, as the graph's inputs take it. Raises DataError with all that does not fit."""
    source = str(options.rows)
    if is_images(source):
        inputs, pixels, label_name, labels, warnings = image_rows(graph, source, options)
        return GivenRows(inputs=inputs, values=(pixels,), label_name=label_name, labels=labels, warnings=warnings)
    if options.normalize is not None:
        what = f"--normalize {quoted(options.normalize)} is for images, and {source} holds none."
        raise DataError(what, "Leave it out, and give values as the graph takes them.")
    return _of_arrays(graph, source, options) if source.lower().endswith(ARRAYS) else _of_table(graph, source, options)


def _of_arrays(graph: BroughtGraph, source: str, options: TaskOptions) -> GivenRows:
    mend = "Write it with numpy.savez(FILE, input=..., label=...): arrays of numbers, and of texts as numpy's str."
    held = read_arrays(source, mend)
    wanted, label = [i.name for i in graph.inputs], options.target or LABEL
    due = "; ".join(map(str, graph.inputs))
    absent = [name for name in wanted if name not in held]
    if options.target is not None and options.target not in held:
        absent.append(options.target)
    if absent:
        what = (
            f"{source} lacks the {'array' if len(absent) == 1 else 'arrays'} {listed(absent)}; it has {listed(held)}."
        )
        raise DataError(what, f"Give one for each input: {due}; and {quoted(label)} for the labels, if there are any.")
    problems: list[Problem] = []
    values = tuple(_fitting(i, held[i.name], problems) for i in graph.inputs)
    labels = held.get(label, np.zeros(0)) if label not in wanted else np.zeros(0)
    lengths = {n: len(held[n]) for n in (*wanted, *([label] if len(labels) else [])) if held[n].ndim}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name!r} {rows:,}" for name, rows in lengths.items())
        problems.append(Problem(what=f"The arrays differ in their rows: {told}.", mend="Give every row each array."))
    if len(labels) and labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "biufU":
        what = f"The labels {quoted(label)} are {labels.dtype} {labels.shape}."
        problems.append(Problem(what=what, mend="Give one number or text for each row: (rows,)."))
    if problems:
        raise DataError(problems)
    other = [name for name in held if name not in (*wanted, label)]
    warnings = (f"Arrays that the graph does not take are left out: {listed(other)}.",) if other else ()
    inputs = tuple(
        TensorFacts(name=i.name, dtype=v.dtype.name, shape=tuple(v.shape[1:]))
        for i, v in zip(graph.inputs, values, strict=True)
    )
    label_name = label if len(labels) else ""
    return GivenRows(inputs=inputs, values=values, label_name=label_name, labels=labels, warnings=warnings)


def _fitting(wanted: GraphInput, given: NDArray[Any], problems: list[Problem]) -> NDArray[Any]:
    """The array as the input takes it; what does not fit becomes a problem."""
    sizes = wanted.shape
    fits = given.ndim >= 1 and (
        sizes is None
        or (len(sizes) == given.ndim - 1 and all(s in (None, g) for s, g in zip(sizes, given.shape[1:], strict=True)))
    )
    if not fits:
        problems.append(Problem(what=f"{wanted.name!r} is {given.shape}; due is {wanted}.", mend="Give it this shape."))
    elif not _holds(given, np.dtype(wanted.dtype)):
        what = f"{wanted.name!r} is {given.dtype}, whose values {wanted.dtype} cannot hold."
        problems.append(Problem(what=what, mend=f"Give it as {wanted.dtype}."))
    else:
        return np.ascontiguousarray(given.astype(wanted.dtype, copy=False))
    return np.zeros((len(given) if given.ndim else 0,), dtype=np.float32)


def _holds(given: NDArray[Any], wanted: np.dtype[Any]) -> bool:
    if given.dtype.kind not in "biuf":
        return False
    if wanted.kind == "f" or np.can_cast(given.dtype, wanted):
        return True
    cut = given.astype(wanted)
    return bool((cut == given).all())


def _of_table(graph: BroughtGraph, source: str, options: TaskOptions) -> GivenRows:
    table = read_table(source)
    problems = list(table.problems)
    target = options.target
    if target is not None and target not in table.names:
        what, mend = missing_column("--target", target, table.names)
        problems.append(Problem(what=what, mend=mend))
    if problems or not table.whole:
        raise DataError(problems)
    columns = {n: _numbers(table, n) for n in table.names if n != target}
    numeric = {name: values for name, values in columns.items() if values is not None}
    named = all(i.name in columns for i in graph.inputs)
    found = _each_its_column(graph, table, numeric, problems) if named else _side_by_side(graph, numeric, problems)
    if problems:
        raise DataError(problems)
    inputs, values = zip(*found, strict=True)
    used = {name for facts in inputs for name in facts.columns}
    other = [n for n in table.names if n not in used and n != target]
    warnings = [*table.warnings, *([f"Columns that are not fed: {listed(other)}."] if other else [])]
    labels = np.zeros(0) if target is None else _labels(table, target)
    return GivenRows(inputs=inputs, values=values, label_name=target or "", labels=labels, warnings=tuple(warnings))


def _numbers(table: Table, name: str) -> NDArray[np.float64] | None:
    parsed = parse(table.column(name))
    return parsed.values if isinstance(parsed, Numbers) else None


Fed = list[tuple[TensorFacts, NDArray[Any]]]


def _each_its_column(
    graph: BroughtGraph, table: Table, numeric: dict[str, NDArray[np.float64]], problems: list[Problem]
) -> Fed:
    """An input for each column of its name: (rows,) or (rows, 1)."""
    found: Fed = []
    for wanted in graph.inputs:
        values = numeric.get(wanted.name)
        if values is None:
            what = f"The column {quoted(wanted.name)} holds texts, and the input takes {wanted.dtype}."
            problems.append(Problem(what=what, mend="Give numbers in it."))
            continue
        flat = wanted.shape == ()
        array = _as_dtype(wanted, values if flat else values[:, None], problems)
        shape = tuple(array.shape[1:])
        if wanted.shape is not None and not (flat or (len(wanted.shape) == 1 and wanted.shape[0] in (None, 1))):
            what = f"The input {wanted} takes more than the one column {quoted(wanted.name)} of {table.name}."
            problems.append(Problem(what=what, mend="Give an .npz file with an array for each input."))
        found.append((TensorFacts(name=wanted.name, dtype=wanted.dtype, shape=shape, columns=(wanted.name,)), array))
    return found


def _side_by_side(graph: BroughtGraph, numeric: dict[str, NDArray[np.float64]], problems: list[Problem]) -> Fed:
    """One input (rows, K), fed by K columns of numbers in the order of the file."""
    wanted = graph.inputs[0]
    width = wanted.shape[0] if wanted.shape is not None and len(wanted.shape) == 1 else None
    if len(graph.inputs) > 1 or (wanted.shape is not None and len(wanted.shape) != 1):
        what = f"A table cannot feed these inputs: {'; '.join(map(str, graph.inputs))}."
        mend = "Name columns like the inputs where each takes one; else give an .npz file with an array for each."
        problems.append(Problem(what=what, mend=mend))
        return []
    if not numeric or (width is not None and len(numeric) != width):
        due = "columns of numbers" if width is None else count(width, "column of numbers", "columns of numbers")
        what = f"The input {wanted} takes {due}; beside the target there are {len(numeric)}: {listed(numeric)}."
        mend = "Name the column of labels with --target COLUMN, and leave out what is not fed."
        problems.append(Problem(what=what, mend=mend))
        return []
    array = _as_dtype(wanted, np.stack(list(numeric.values()), axis=1), problems)
    facts = TensorFacts(name=wanted.name, dtype=wanted.dtype, shape=tuple(array.shape[1:]), columns=tuple(numeric))
    return [(facts, array)]


def _as_dtype(wanted: GraphInput, values: NDArray[np.float64], problems: list[Problem]) -> NDArray[Any]:
    dtype = np.dtype(wanted.dtype)
    if dtype.kind == "f":
        return values.astype(dtype)
    if not np.isfinite(values).all() or not _holds(values, dtype):
        what = f"The columns for {wanted.name!r} hold values that {wanted.dtype} cannot hold, or none."
        problems.append(Problem(what=what, mend=f"Give whole numbers of {wanted.dtype} in every row."))
        return np.zeros(values.shape, dtype=dtype)
    return values.astype(dtype)


def _labels(table: Table, target: str) -> NDArray[Any]:
    """Numbers, or texts where they are none."""
    values = _numbers(table, target)
    if values is not None:
        whole = np.isfinite(values).all() and (values == np.floor(values)).all()
        return values.astype(np.int64) if whole else values
    texts = label_texts(table.column(target))
    return np.array(texts.values, dtype=str)[texts.codes]
