"""A bundle's pipeline becomes a task again: its float graph, rows as raw as it took them, judged by its own classes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoopt.app.brought import affordable, loaded_graph, row_problems, scores_on
from autoopt.app.raw_rows import are_arrays, array_rows, listed_images, table_rows
from autoopt.bundle import Bundle, load_bundle
from autoopt.bundle.contents import FRONT
from autoopt.errors import BundleError, DataError, InputError, Problem
from autoopt.files import user_path
from autoopt.runtime import Front, FrontInput, as_scores, cell_number, cell_text
from autoopt.runtime.predictor import WEIGHTS_ENDING
from autoopt.stages.front import front_of
from autoopt.task import PreparedTask, TaskOptions
from autoopt.task.columns import Column
from autoopt.task.facts import ColumnFacts, Kind, Modality, Role, TensorFacts
from autoopt.task.graph.images import GivenImages, decoded_images, is_images, labelled_images
from autoopt.task.graph.labels import Judged, known_labels
from autoopt.task.graph.prepare import graph_task, require_finite
from autoopt.task.graph.reading import BroughtGraph, read_bundled
from autoopt.task.graph.rows import LABEL, GivenRows
from autoopt.task.metrics import METRICS
from autoopt.task.modality import IMAGE_DEMO
from autoopt.task.rows import column_problems
from autoopt.task.sources.dispatch import read_table
from autoopt.task.splits import BY_HASH
from autoopt.task.table import Table
from autoopt.task.targets import label_texts
from autoopt.task.wording import counted_rows, missing_column, quoted

_ROLES: Final[Mapping[str, Role]] = {"number": Role.NUMBER, "category": Role.CATEGORY, "text": Role.TEXT}
_ARRAYS: Final = ("image", "tensor")


def prepare_bundled(source: str, options: TaskOptions) -> PreparedTask:
    """The task of compressing the float graph of the bundle `source` on the raw rows that `options.rows` names.

    Every file of it is verified before any is used, and what was verified is what is used. Raises DataError with all
    that is wrong with both, OptionError for a metric that does not fit and for the key.
    """
    problems = [*row_problems(source, options), *_option_problems(options)]
    try:
        bundle = load_bundle(user_path(source), verify_key=options.verify_key)
        graph = _float_graph(bundle)
        session = loaded_graph(graph)
    except (BundleError, InputError) as error:
        told = error.problems if isinstance(error, InputError) else [Problem(what=str(error), mend="")]
        raise DataError([*told, *problems]) from None
    if problems:
        raise DataError(problems)
    options, notes = _split_as_learned(bundle, options)
    rows = affordable(session, _read(bundle, options))
    rows = replace(rows, warnings=(*rows.warnings, *notes))
    scores = as_scores(scores_on(session, rows), bundle.front.form)
    require_finite(scores)
    task = graph_task(graph, rows, _judged(bundle, rows, scores), scores, options)
    if Front.parse(front_of(task.facts)) != bundle.front:
        what = f"{source} takes its rows as this version cannot write it down again: its front.json is of another."
        raise DataError(what, f"Compress its graph alone: {Path(source) / 'model.onnx'}.")
    return task


def _split_as_learned(bundle: Bundle, options: TaskOptions) -> tuple[TaskOptions, tuple[str, ...]]:
    """With the seed that the bundle's own data were split by, unless another is given; and what keeps parts apart."""
    data = bundle.manifest.get("data")
    known = data if isinstance(data, dict) else {}
    split, seed = known.get("split"), known.get("seed")
    if isinstance(seed, int) and 0 < seed < 2**31 and options.seed == 0:
        options = replace(options, seed=seed)
    if not isinstance(split, str) or not split or split.startswith(BY_HASH):
        return options, ()
    told = (
        f"The bundle's data were split {split}; here rows are split by a hash, so those that it learned from judge too."
    )
    return options, (told,)


def _option_problems(options: TaskOptions) -> list[Problem]:
    if options.normalize is None:
        return []
    what = f"--normalize {quoted(options.normalize)} is for a graph, and a bundle knows how it takes its pixels."
    return [Problem(what=what, mend="Leave it out.")]


def _float_graph(bundle: Bundle) -> BroughtGraph:
    """The graph that all forms of it are held to. Raises DataError where it holds none, or one that is damaged."""
    path = next(a["path"] for a in bundle.manifest["artifacts"] if a["role"] == "float")
    if path.endswith(WEIGHTS_ENDING):
        module = bundle.manifest["module"].get("reference", "path/to/task.py:function")
        what = (
            f"{bundle.folder} holds weights and no graph, as torch cannot trace its module: no form can be made of it."
        )
        raise DataError(what, f"Build a network that can be traced, with these weights: autoopt compress {module}")
    front = bundle.front
    kinds = {0: (Kind.REGRESSION,), 2: (Kind.BINARY, Kind.MULTICLASS)}
    if front.kind not in kinds.get(len(front.classes), (Kind.MULTICLASS,)):
        what = f"{bundle.folder / FRONT} says {quoted(front.kind)} and names {len(front.classes)} classes."
        raise DataError(what, "Export the bundle again.")
    return read_bundled(bundle.folder.resolve(), bundle.content("float"), front.scores)


def _judged(bundle: Bundle, rows: GivenRows, scores: NDArray[np.float64]) -> Judged:
    """By the labels, or without any by what the graph says; always in the bundle's own classes."""
    front = bundle.front
    if scores.shape[1] != max(1, len(front.classes)):
        what = f"The graph of {bundle.folder} gives {scores.shape[1]} scores, and its front names {len(front.classes)}."
        raise DataError(what, "Export the bundle again.")
    own = scores.argmax(axis=1) if front.classes else scores[:, 0]
    return Judged(
        kind=Kind(front.kind),
        classes=front.classes,
        numeric_classes=front.numeric_classes,
        target=rows.labels if rows.label_name else own,
        form=front.form,
    )


def _read(bundle: Bundle, options: TaskOptions) -> GivenRows:
    """Raw rows of what kind the bundle takes. Raises DataError with all that is wrong with them."""
    front, data = bundle.front, str(options.rows)
    image = next((i for i in front.inputs if i.type == "image"), None)
    if image is not None:
        found = _of_images(front, image, data, options)
    elif are_arrays(front.inputs, data):
        found = _of_arrays(front, data, options)
    else:
        found = _of_table(front, data, options)
    metric = str(bundle.manifest["metric"])
    told: tuple[str, ...] = ()
    if metric not in METRICS and options.metric is None and found.label_name:
        told = (f"The bundle was judged by {quoted(metric)}, a function of its own module: here by the usual metric.",)
    metric = metric if metric in METRICS else ""
    return replace(found, meant=front.target, metric=metric, warnings=(*found.warnings, *told))


def _of_table(front: Front, data: str, options: TaskOptions) -> GivenRows:
    table, problems = read_table(data), list[Problem]()
    name, labels = _table_labels(front, table, options, problems)
    try:
        feed = front.feed(table_rows(front.inputs, table))
    except DataError as error:
        raise DataError([*error.problems, *problems]) from None
    if problems:
        raise DataError(problems)
    return _given(front, feed, name, labels, table.warnings)


def _of_arrays(front: Front, data: str, options: TaskOptions) -> GivenRows:
    held, problems = array_rows(front.inputs, data), list[Problem]()
    name = options.target or next((n for n in (front.target, LABEL) if n in held), "")
    if name and name not in held:
        what = f"{data} has no array {quoted(name)}."
        problems.append(
            Problem(what=what, mend="Give it, a number or text for each row: (rows,); or leave --target out.")
        )
        name = ""
    values = held.get(name, np.zeros(0))
    labels = _labels(front, name, values.reshape(-1), np.arange(values.size) + 1, problems) if name else values
    try:
        feed = _plain(front).feed(held)
    except DataError as error:
        raise DataError([*error.problems, *problems]) from None
    rows = len(next(iter(feed.values())))
    if name and len(labels) != rows:
        what = f"The labels {quoted(name)} are {values.shape}, and there are {rows:,} rows."
        problems.append(Problem(what=what, mend="Give one number or text for each row: (rows,)."))
    if problems:
        raise DataError(problems)
    return _given(front, feed, name, labels, ())


def _of_images(front: Front, image: FrontInput, data: str, options: TaskOptions) -> GivenRows:
    problems: list[Problem] = []
    if data == IMAGE_DEMO or is_images(data):
        if options.target is not None:
            what = f"--target {quoted(options.target)} names a column, and a folder of images has none."
            problems.append(Problem(what=what, mend="Leave it out: folders are the classes."))
        given = labelled_images(data)
        numbers = np.arange(len(given.files)) + 1
        if given.label_name:
            labels = _labels(front, given.label_name, given.labels, numbers, problems)
            given = replace(given, labels=labels)
    else:
        table = read_table(data)
        name, labels = _table_labels(front, table, options, problems)
        given = GivenImages(files=listed_images(image, data, table), label_name=name, labels=labels)
    if problems:
        raise DataError(problems)
    pixels, given = decoded_images(data, given, image.shape[0], image.shape[1])
    return _given(front, {image.input: pixels}, given.label_name, given.labels, given.warnings)


def _plain(front: Front) -> Front:
    """The same without what is done to pixels on their way into the graph: a snapshot keeps them as they are."""
    return replace(front, inputs=tuple(replace(i, form=None) for i in front.inputs))


def _given(
    front: Front, feed: Mapping[str, NDArray[Any]], label_name: str, labels: NDArray[Any], warnings: Sequence[str]
) -> GivenRows:
    columns = [i for i in front.inputs if i.type not in _ARRAYS]
    arrays = [i for i in front.inputs if i.type in _ARRAYS]
    return GivenRows(
        inputs=tuple(
            TensorFacts(name=i.name, dtype=i.dtype, shape=i.shape, pixels=i.form, columns=i.columns) for i in arrays
        ),
        values=tuple(feed[i.input] for i in arrays),
        columns=tuple(_column(i, feed[i.input][:, 0]) for i in columns),
        raw_form=_raw_form(front).value,
        label_name=label_name,
        labels=labels,
        warnings=tuple(warnings),
    )


def _column(column: FrontInput, values: NDArray[Any]) -> Column:
    """As the data of a search are kept."""
    facts = ColumnFacts(name=column.name, role=_ROLES[column.type], used=True)
    if column.type == "number":
        return Column(facts=facts, numbers=values)
    if column.type == "text":
        return Column(facts=facts, texts=values)
    known = ("", *sorted(set(values) - {""}))
    places = {text: k for k, text in enumerate(known)}
    return Column(facts=facts, values=known, codes=np.array([places[v] for v in values], dtype=np.int32))


def _raw_form(front: Front) -> Modality:
    types = {i.type for i in front.inputs}
    if "image" in types:
        return Modality.IMAGES
    if "tensor" in types:
        return Modality.MODULE
    return Modality.TEXT if "text" in types else Modality.TABULAR


def _table_labels(
    front: Front, table: Table, options: TaskOptions, problems: list[Problem]
) -> tuple[str, NDArray[Any]]:
    """Name and values of the column of labels; '' where there is none."""
    name = options.target or front.target
    if name not in table.names:
        if options.target is not None:
            what, mend = missing_column("--target", options.target, table.names)
            problems.append(Problem(what=what, mend=mend))
        return "", np.zeros(0)
    problems += column_problems(table, [name])
    texts = label_texts(table.column(name))
    if front.classes:
        words = [texts.values[k] for k in texts.codes]
        return name, known_labels(name, words, front.classes, table.row_numbers, problems)
    numbers = [cell_number(text) for text in texts.values]
    values = np.array([np.nan if number is None else number for number in numbers])[texts.codes]
    return name, _finite(name, values, table.row_numbers, problems)


def _labels(
    front: Front, name: str, values: NDArray[Any], rows: NDArray[np.int64], problems: list[Problem]
) -> NDArray[Any]:
    """Of an array of labels: which class each is, or its value."""
    if front.classes:
        return known_labels(name, [cell_text(v) for v in values], front.classes, rows, problems)
    numbers = values.astype(np.float64) if values.dtype.kind in "biuf" else np.full(len(values), np.nan)
    return _finite(name, numbers, rows, problems)


def _finite(
    name: str, values: NDArray[np.float64], rows: NDArray[np.int64], problems: list[Problem]
) -> NDArray[np.float64]:
    bad = ~np.isfinite(values)
    if bad.any():
        what = f"{quoted(name)} has no number in {counted_rows(rows[bad])}."
        problems.append(Problem(what=what, mend="Correct or remove these rows; the bundle predicts numbers."))
    return values
