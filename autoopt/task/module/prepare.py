"""A reference to the user's function becomes a task: everything of it is tried once before a search begins."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError, OptionError, Problem
from autoopt.files import sha256_json
from autoopt.task.assemble import PreparedTask
from autoopt.task.facts import Kind, Modality, ModuleFacts, TaskFacts, TensorFacts
from autoopt.task.metrics import METRICS, Metric, fitting_metric, metric
from autoopt.task.module.choices import Choices, defaults, parse_choices
from autoopt.task.module.forward import (
    LOGIT,
    LOGITS,
    VALUES,
    built,
    convolves,
    image_axes,
    input_names,
    output_form,
    outputs_of,
    why_untraceable,
)
from autoopt.task.module.items import Items
from autoopt.task.module.loading import load_task, source_files, split_reference
from autoopt.task.module.spec import LOSSES, OWN, ModuleTask
from autoopt.task.module.trained import doubts, hash_of_trained
from autoopt.task.module.unchanged import sample_of
from autoopt.task.options import TaskOptions
from autoopt.task.scoring import dummy_scores, score
from autoopt.task.snapshot import PartArrays
from autoopt.task.spreading import spread_rows
from autoopt.task.wording import count, listed, quoted

MOST_TARGETS = 50_000
"""Of train: more items than that are not all read for their targets, but so many, evenly spread."""
FIRST_ROWS = 8
TARGET = "target"
_VERSION = 1  # of the fingerprint


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """What trying the module out has shown."""

    kind: Kind
    classes: tuple[str, ...]
    output: str
    flat_outputs: bool
    convolves: bool
    image_axes: tuple[int, int] | None
    untraceable: str
    tensors: tuple[TensorFacts, ...]


def prepare_module(source: Any, options: TaskOptions, name: str | None = None) -> PreparedTask:
    """Load `path/to/task.py:function`, try what it gives, and make a task of it. Raises DataError, OptionError."""
    if isinstance(source, ModuleTask):
        what = "A ModuleTask object cannot be carried to the processes that train."
        mend = "Write the function that returns it into a file, and give 'path/to/task.py:function' instead."
        raise DataError(what, mend)
    _check_options(options)
    path, function = split_reference(str(source))
    reference = f"{path}:{function}"
    task = load_task(reference)
    choices = _checked(task, options)
    weights = hash_of_trained(task, choices, reference) if options.trained else ""
    items = _open(task, path.parent)
    parts, warnings = _part_arrays(items)
    tried = _tried(task, choices, items, parts, path.parent)
    parts = {part: replace(a, target=_target(a.target, tried.kind, tried.classes, part)) for part, a in parts.items()}
    chosen = _metric(task, options, tried)
    facts = TaskFacts(
        name=name or f"{path.name}:{function}",
        modality=Modality.MODULE,
        kind=tried.kind,
        metric=chosen.name,
        metric_direction=chosen.direction,
        target=TARGET,
        classes=tried.classes,
        numeric_classes=tried.kind.classifies and not task.classes,
        columns=(),
        rows={part: len(items[part]) if part in items else 0 for part in ("train", "valid", "test")},
        fingerprint="",
        warnings=tuple(warnings),
        split="as the datasets are",
        tensors=tried.tensors,
        module=reference,
        module_facts=replace(
            _module_facts(task, choices, tried, items["train"]),
            files=source_files(path),
            own_metric=callable(task.metric) and options.metric is None,
            weights=weights,
        ),
    )
    _check_metric(facts, parts)
    if facts.came_trained:
        facts = replace(facts, warnings=(*facts.warnings, *doubts(task, facts, parts["train"], parts["valid"])))
    return PreparedTask(facts=replace(facts, fingerprint=_fingerprint(facts, parts)), categories=(), parts=parts)


def _module_facts(task: ModuleTask, choices: Choices, tried: _Tried, train: Items) -> ModuleFacts:
    """What the task itself and trying it out say."""
    held = train.fits() and train.always_alike()
    return ModuleFacts(
        files={},
        loss=task.loss if isinstance(task.loss, str) else OWN,
        output=tried.output,
        choices=choices,
        held=held,
        flat_outputs=tried.flat_outputs,
        convolves=tried.convolves,
        image_axes=tried.image_axes,
        untraceable=tried.untraceable,
        flat_targets=train.first.flat_target,
        sample=sample_of(train, held=held),
    )


def _check_options(options: TaskOptions) -> None:
    given = {"--target": options.target, "--split-column": options.split_column, "--time-column": options.time_column}
    problems = [
        Problem(what=f"{option} {quoted(value)} means nothing for a module of your own.", mend="Leave it out.")
        for option, value in given.items()
        if value is not None
    ]
    if problems:
        raise OptionError(problems)
    if options.metric is not None:
        metric(options.metric)


def _checked(task: ModuleTask, options: TaskOptions) -> Choices:
    """The choices; raises DataError with all that is wrong with the task's own fields."""
    problems: list[Problem] = []
    if not callable(task.build):
        problems.append(Problem(what=f"build is a {type(task.build).__name__}.", mend="Give a function or a class."))
    if not callable(task.loss) and task.loss not in LOSSES:
        mend = f"Losses: {', '.join(LOSSES)}; or a function of (outputs, targets)."
        problems.append(Problem(what=f"loss {quoted(task.loss)} is not a loss.", mend=mend))
    if not callable(task.metric) and task.metric is not None and task.metric not in METRICS:
        mend = f"Metrics: {', '.join(METRICS)}; or a function of (scores, targets)."
        problems.append(Problem(what=f"metric {quoted(task.metric)} is not a metric.", mend=mend))
    for part in ("train", "valid"):
        if getattr(task, part) is None:
            problems.append(
                Problem(what=f"{part} is None.", mend="Give a torch Dataset, or a function that makes one.")
            )
    choices = parse_choices(task.choices, task.build, problems)
    if problems:
        raise DataError(problems)
    return choices


def _open(task: ModuleTask, folder: Path) -> dict[str, Items]:
    """The datasets by part; raises DataError with what is wrong with each."""
    given = {"train": task.train, "valid": task.valid} | ({"test": task.test} if task.test is not None else {})
    found: dict[str, Items] = {}
    problems: list[Problem] = []
    cause: DataError | None = None
    for part, dataset in given.items():
        try:
            found[part] = Items(part, dataset, folder)
        except DataError as error:
            problems += error.problems
            cause = error
    if problems:
        raise DataError(problems) from cause
    first = found["train"].first
    for part, items in found.items():
        shapes = [[(a.dtype, a.shape) for a in item.inputs] for item in (first, items.first)]
        if shapes[0] != shapes[1]:
            told = [", ".join(f"{dtype} {shape}" for dtype, shape in shape_list) for shape_list in shapes]
            what = f"The inputs of {part} are {told[1]}; those of train are {told[0]}."
            problems.append(Problem(what=what, mend="Give all the same shapes and dtypes."))
    if problems:
        raise DataError(problems)
    return found


def _part_arrays(items: Mapping[str, Items]) -> tuple[dict[str, PartArrays], list[str]]:
    """Valid and test whole, of train the targets. Targets are float64 still."""
    warnings = []
    train = items["train"]
    rows = spread_rows(len(train), MOST_TARGETS)
    if len(rows) < len(train):
        warnings.append(f"train has {count(len(train), 'row')}: the targets of {count(len(rows), 'row')} were read.")
    empty = tuple(np.zeros((0, *a.shape), dtype=a.dtype) for a in train.first.inputs)
    targets = np.array([float(item.target) for item in train.items(rows)])
    parts = {"train": _arrays(empty, targets, rows)}
    for part in ("valid", "test"):
        if part not in items:
            parts[part] = _arrays(empty, np.zeros(0), np.arange(0))
            warnings.append("There is no test set: the figures on valid, by which the search chooses, stay unchecked.")
            continue
        if not items[part].always_alike():
            warnings.append(f"{part} gives other items each time (augmentation?): it was read once, and is kept so.")
        parts[part] = _arrays(*items[part].arrays(range(len(items[part]))), np.arange(len(items[part])))
    return parts, warnings


def _arrays(tensors: tuple[NDArray[Any], ...], target: NDArray[np.float64], rows: NDArray[np.int64]) -> PartArrays:
    return PartArrays(
        numbers=np.zeros((len(target), 0)),
        codes=np.zeros((len(target), 0), dtype=np.int32),
        target=target,
        row_ids=rows + 1,
        tensors=tensors,
    )


def _tried(
    task: ModuleTask, choices: Choices, items: Mapping[str, Items], parts: Mapping[str, PartArrays], folder: Path
) -> _Tried:
    network = built(task.build, defaults(choices), folder)
    rows = [a[:FIRST_ROWS] for a in parts["valid"].tensors]
    outputs = outputs_of(network, rows, folder)
    loss = task.loss if isinstance(task.loss, str) else OWN
    whole = items["train"].first.target.dtype.kind in "biu"
    output = output_form(outputs, loss, parts["train"].target, whole=whole)
    width = {LOGITS: outputs.shape[-1], LOGIT: 2, VALUES: 0}[output]
    classes = tuple(str(c) for c in task.classes) or tuple(str(k) for k in range(width))
    if len(classes) != width or len(set(classes)) != width:
        what = f"classes names {len(classes)} ({listed(classes)}), and the module tells {width} apart."
        raise DataError(what, "Give one name for each output, all different." if width else "Leave classes out.")
    names = input_names(network, len(items["train"].first.inputs))
    tensors = tuple(
        TensorFacts(name=name, dtype=a.dtype.name, shape=tuple(a.shape))
        for name, a in zip(names, items["train"].first.inputs, strict=True)
    )
    kind = Kind.REGRESSION if not classes else Kind.BINARY if width == 2 else Kind.MULTICLASS
    return _Tried(
        kind=kind,
        classes=classes,
        output=output,
        flat_outputs=outputs.ndim == 1,
        convolves=convolves(network),
        image_axes=image_axes(network, rows, outputs),
        untraceable=why_untraceable(network, rows),
        tensors=tensors,
    )


def _target(
    values: NDArray[Any], kind: Kind, classes: tuple[str, ...], part: str
) -> NDArray[np.int64] | NDArray[np.float64]:
    """Targets as the snapshot keeps them. Raises DataError for a class or a value that cannot be."""
    if not kind.classifies:
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise DataError(f"{part}: the target of item {bad[0]} is {values[bad[0]]}.", "Give finite numbers.")
        return values
    bad = np.flatnonzero((values < 0) | (values >= len(classes)) | (values != np.floor(values)))
    if len(bad):
        what = f"{part}: the target of item {bad[0]} is {values[bad[0]]:g}; the module tells {len(classes)} classes."
        raise DataError(what, f"Classes are the whole numbers 0 to {len(classes) - 1}.")
    return values.astype(np.int64)


def _metric(task: ModuleTask, options: TaskOptions, tried: _Tried) -> Metric:
    if options.metric is None and callable(task.metric):
        name = str(getattr(task.metric, "__name__", "metric")).strip("<>")
        direction = "maximize" if task.greater_is_better else "minimize"
        return Metric(
            name=f"own {name}" if name in METRICS or name == "lambda" else name,
            direction=direction,  # type: ignore[arg-type]  # one of the two words
            kinds=(tried.kind,),
            summary="the module's own metric",
        )
    return fitting_metric(options.metric or task.metric, tried.kind, tried.classes)  # type: ignore[arg-type]  # a name


def _check_metric(facts: TaskFacts, parts: Mapping[str, PartArrays]) -> None:
    """Raises DataError where the metric cannot be computed on valid."""
    target = parts["valid"].target
    value = score(facts.metric, facts, target, dummy_scores(facts, parts["train"].target, len(target)))
    if not np.isfinite(value):
        what = f"{facts.metric} is undefined on valid ({value} for a guess that knows nothing)."
        raise DataError(what, "Give a valid set with rows of every class, or another metric.")


def _fingerprint(facts: TaskFacts, parts: Mapping[str, PartArrays]) -> str:
    """SHA-256 over the source files and their place, the rows of valid and test, and train's targets and number."""
    digest = hashlib.sha256(sha256_json([_VERSION, facts.to_json()]).encode())
    for part in parts.values():
        for _, array in part.arrays():
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
