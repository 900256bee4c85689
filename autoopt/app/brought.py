"""A graph of the user's own becomes a task: read, run on the rows as it came, judged by them."""

import os
import time
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoopt.bundle import read_manifest
from autoopt.errors import BundleError, DataError, InputError, Problem
from autoopt.files import user_path
from autoopt.runtime import Session, as_scores, graph_input_name
from autoopt.strategies.deploying.brought import GraphRows, outputs_of
from autoopt.task import PreparedTask, TaskOptions
from autoopt.task.graph.prepare import graph_task, judged_by
from autoopt.task.graph.reading import BroughtGraph, read_graph
from autoopt.task.graph.rows import GivenRows, read_rows
from autoopt.task.modality import GRAPH_ENDING
from autoopt.task.sources.demos import PREFIX
from autoopt.task.spreading import spread_rows
from autoopt.task.wording import count

SCORING_S: Final = 20.0
"""How long the graph may take for all rows; of more, some are taken, evenly: each form is run on a part of them."""
LEAST_KEPT: Final = 300


def prepare_brought(source: str, options: TaskOptions) -> PreparedTask:
    """The task of compressing `source` on the rows that `options.rows` names.

    Raises DataError with all that is wrong with both, OptionError for a metric that does not fit.
    """
    path = user_path(source)
    try:
        graph = read_graph(path)
        session = loaded_graph(graph)
        graph = replace(graph, scores=session.scores_output)
    except InputError as error:
        raise DataError([*error.problems, *row_problems(source, options)]) from None
    if problems := row_problems(source, options):
        raise DataError(problems)
    rows = read_rows(graph, options)
    rows = affordable(session, rows)
    scores = scores_on(session, rows)
    judged = judged_by(rows, scores)
    scores = as_scores(scores, judged.form)
    return graph_task(graph, rows, judged, scores, options)


def trained_already(source: object) -> Problem | None:
    """What is told where `search`, which trains, was given a graph or a bundle; None for all else."""
    if not isinstance(source, str | os.PathLike):
        return None
    name = os.fspath(source)
    kind = "a trained graph" if name.lower().endswith(GRAPH_ENDING) else "a bundle" if _is_bundle(name) else None
    if kind is None:
        return None
    rows = "rows.npz" if kind == "a trained graph" else "rows.csv"
    mend = f"To make it smaller or faster: autoopt compress {name} --data {rows} -o small/"
    return Problem(what=f"{name} is {kind}, and `search` learns from data.", mend=mend)


def _is_bundle(name: str) -> bool:
    try:
        read_manifest(user_path(name))
    except (BundleError, OSError):
        return False
    return True


def row_problems(source: str, options: TaskOptions) -> list[Problem]:
    """What can be said of the rows before they are read."""
    if options.rows is None or not str(options.rows).strip():
        what = "No rows were given for the graph: --data is missing."
        mend = f"Give some hundred, as it takes them: autoopt compress {source} --data rows.npz, rows.csv or photos/"
        return [Problem(what=what, mend=mend)]
    if str(options.rows).startswith(PREFIX) or user_path(str(options.rows)).exists():
        return []
    return [Problem(what=f"{options.rows} does not exist.", mend="Check the path of --data.")]


def loaded_graph(graph: BroughtGraph) -> Session:
    """The graph, ready to be run. Raises DataError where the runtime cannot."""
    try:
        return Session(graph.content, where=str(graph.path))
    except BundleError as error:
        mend = "Operators of other libraries cannot be run here; export the graph with those of the ONNX standard."
        raise DataError(str(error), mend) from error


def affordable(session: Session, rows: GivenRows) -> GivenRows:
    """As many of the rows as the graph can be run on within the time there is."""
    first = rows.take(spread_rows(rows.rows, 16))
    scores_on(session, first)
    began = time.monotonic()
    scores_on(session, first)
    row_s = (time.monotonic() - began) / max(first.rows, 1)
    most = max(LEAST_KEPT, int(SCORING_S / max(row_s, 1e-9)))
    if rows.rows <= most:
        return rows
    told = (
        f"Of {count(rows.rows, 'row')} {most:,} are used, evenly taken: the graph takes {1000 * row_s:.2g} ms for each."
    )
    return replace(rows.take(spread_rows(rows.rows, most)), warnings=(*rows.warnings, told))


def scores_on(session: Session, rows: GivenRows) -> NDArray[np.float64]:
    """The graph's output on every row: (rows, k) or (rows, 1). Raises DataError where it does not run on them."""
    columns = {graph_input_name(name): values[:, None] for name, values in rows.column_values()}
    wanted = GraphRows(inputs=rows.inputs, values=rows.values, columns=columns)
    try:
        found = [np.asarray(given) for _, given in outputs_of(session, wanted)]
    except BundleError as error:
        raise DataError(f"{error}.", "Give rows of the shapes that it takes.") from error
    given = sum(len(scores) for scores in found if scores.ndim)
    if given != rows.rows or any(scores.ndim != 2 for scores in found):
        what = f"The graph's output is {found[0].shape} for {count(rows.rows, 'row')}."
        raise DataError(what, "Export it with an output (rows, k) or (rows,), a row of it for each row given.")
    return np.concatenate(found).astype(np.float64)
